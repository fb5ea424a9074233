// Checks a real log with other people's code: golang.org/x/mod/sumdb/tlog and
// note, as Debian has them. Of ours nothing is used but the files.
//
//	check_log VKEY AUDIT-FOLDER OLDER-NOTE PROOF-FILE...
//
// AUDIT-FOLDER has log, checkpoint, tile/...; OLDER-NOTE a checkpoint of before.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "check_log:", err)
		os.Exit(1)
	}
}

func fail(format string, args ...interface{}) {
	must(fmt.Errorf(format, args...))
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err)
	return data
}

// open checks a note's signature and reads the three lines of a checkpoint.
func open(text []byte, verifier note.Verifier) tlog.Tree {
	n, err := note.Open(text, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != verifier.Name() {
		fail("not a checkpoint: %q", n.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	hash, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: hash}
}

// c2sp is the path of a tile: like tlog's, without the height, records apart.
func c2sp(level int, n int64, width int) string {
	kind := strconv.Itoa(level)
	if level < 0 {
		kind = "entries"
	}
	path := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if width < 1<<height {
		path += fmt.Sprintf(".p/%d", width)
	}
	return filepath.Join("tile", kind, path)
}

type tiles struct{ folder string }

func (t tiles) Height() int                      { return height }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range want {
		data, err := os.ReadFile(filepath.Join(t.folder,
			c2sp(tile.L, tile.N, tile.W)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// entries reads the records out of entry bundles.
func entries(folder string, size int64) [][]byte {
	var records [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		data := read(filepath.Join(folder, c2sp(-1, n, int(width))))
		for len(data) > 0 {
			length := int(binary.BigEndian.Uint16(data))
			records = append(records, data[2:2+length])
			data = data[2+length:]
		}
	}
	return records
}

// frames reads the records out of the log itself.
func frames(data []byte, size int64) [][]byte {
	var records [][]byte
	for int64(len(records)) < size {
		length := int(binary.LittleEndian.Uint32(data))
		records = append(records, data[8:8+length])
		data = data[8+length:]
	}
	return records
}

// root makes the tree again from the records alone.
func root(records [][]byte) tlog.Hash {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, record := range records {
		hashes, err := tlog.StoredHashes(int64(i), record, reader)
		must(err)
		stored = append(stored, hashes...)
	}
	hash, err := tlog.TreeHash(int64(len(records)), reader)
	must(err)
	return hash
}

// proof checks a receipt (C2SP tlog-proof with the record in its extra line).
func proof(path string, verifier note.Verifier, records [][]byte) {
	head, text, ok := strings.Cut(string(read(path)), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" ||
		!strings.HasPrefix(lines[1], "extra ") ||
		!strings.HasPrefix(lines[2], "index ") {
		fail("%s is no receipt", path)
	}
	record, err := base64.StdEncoding.DecodeString(lines[1][6:])
	must(err)
	index, err := strconv.ParseInt(lines[2][6:], 10, 64)
	must(err)
	var p tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		must(err)
		p = append(p, hash)
	}
	tree := open([]byte(text), verifier)
	must(tlog.CheckRecord(p, tree.N, tree.Hash, index, tlog.RecordHash(record)))
	if !bytes.Equal(record, records[index]) {
		fail("%s has another record", path)
	}
}

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	must(err)
	folder := os.Args[2]
	tree := open(read(filepath.Join(folder, "checkpoint")), verifier)
	older := open(read(os.Args[3]), verifier)
	records := frames(read(filepath.Join(folder, "log")), tree.N)

	if root(records) != tree.Hash {
		fail("the records do not give the root of the checkpoint")
	}
	reader := tlog.TileHashReader(tree, tiles{folder})
	var at []int64
	for i := range records {
		at = append(at, tlog.StoredHashIndex(0, int64(i)))
	}
	hashes, err := reader.ReadHashes(at)
	must(err)
	for i, record := range entries(folder, tree.N) {
		if hashes[i] != tlog.RecordHash(record) ||
			!bytes.Equal(record, records[i]) {
			fail("record %d of the tiles is another", i)
		}
	}
	p, err := tlog.ProveTree(tree.N, older.N, reader)
	must(err)
	must(tlog.CheckTree(p, tree.N, tree.Hash, older.N, older.Hash))
	for _, path := range os.Args[4:] {
		proof(path, verifier, records)
	}
	fmt.Printf("%d records, %d proofs: ok\n", tree.N, len(os.Args)-4)
}
