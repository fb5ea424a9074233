'use strict';
/* The page's own work: it checks the records that it holds, then shows them.
 * Whatever comes from the log gets onto the page as text alone. */

const PER_PAGE = 200;
const BATCH = 4096;
const head = JSON.parse(document.getElementById('head').textContent);
const lines = document.getElementById('leaves').textContent
  .split('\n').filter((line) => line !== '')
  .map((line) => line.replaceAll('\u2039', '<'));
const leaves = [];
const hashes = [];

/* ---- small things ---- */

function make(tag, options, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(options || {})) {
    if (key === 'text') e.textContent = value;
    else if (key === 'cls') e.className = value;
    else e.setAttribute(key, value);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

/* Text without what changes the order or shape of what is around it. */
function plain(value) {
  if (value === undefined || value === null) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

function at(leaf, path) {
  let v = leaf;
  for (const key of path.split('.')) {
    v = v !== null && typeof v === 'object' && Object.hasOwn(v, key)
      ? v[key] : undefined;
  }
  return v;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

function base64Of(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

function same(a, b) {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}

/* ---- RFC 6962 ---- */

async function sha256(...parts) {
  let n = 0;
  for (const p of parts) n += p.length;
  const all = new Uint8Array(n);
  n = 0;
  for (const p of parts) {
    all.set(p, n);
    n += p.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', all));
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const nodeHash = (left, right) => sha256(NODE, left, right);

/* Whole subtrees between two places, as large as they can be. */
function subtrees(from, to) {
  const out = [];
  while (from < to) {
    let level = 0;
    while (from % 2 ** (level + 1) === 0 && from + 2 ** (level + 1) <= to) {
      level++;
    }
    out.push({ level, from, end: from + 2 ** level });
    from += 2 ** level;
  }
  return out;
}

async function inBatches(n, one) {
  const out = [];
  for (let i = 0; i < n; i += BATCH) {
    const some = [];
    for (let k = i; k < Math.min(n, i + BATCH); k++) some.push(one(k));
    out.push(...await Promise.all(some));
  }
  return out;
}

async function rootOf(nodes) {
  while (nodes.length > 1) {
    const below = nodes;
    nodes = await inBatches(below.length / 2,
      (i) => nodeHash(below[2 * i], below[2 * i + 1]));
  }
  return nodes[0];
}

/* The root of the whole log, out of what is left of the records, the records,
 * and what is right of them. */
async function logRoot(size) {
  const stack = [];
  async function push(level, hash) {
    while (stack.length > 0 && stack[stack.length - 1].level === level) {
      hash = await nodeHash(stack.pop().hash, hash);
      level++;
    }
    stack.push({ level, hash });
  }
  async function given(list, from, to) {
    const trees = subtrees(from, to);
    if (trees.length !== list.length) throw new Error('a hash is missing');
    for (const [i, tree] of trees.entries()) {
      await push(tree.level, bytesOf(list[i]));
    }
  }
  const first = head.period.first;
  const end = head.period.end;
  await given(head.left || [], 0, first);
  for (const tree of subtrees(first, end)) {
    await push(tree.level,
      await rootOf(hashes.slice(tree.from - first, tree.end - first)));
  }
  await given(head.right || [], end, size);
  if (stack.length === 0) return sha256();
  let root = stack.pop().hash;
  while (stack.length > 0) root = await nodeHash(stack.pop().hash, root);
  return root;
}

/* ---- the signed note ---- */

function readKey(vkey) {
  const [name, id, ...rest] = vkey.split('+');
  const key = bytesOf(rest.join('+'));
  if (key.length !== 33 || key[0] !== 1) throw new Error('not an Ed25519 key');
  return { name, id, type: key.slice(0, 1), raw: key.slice(1) };
}

function readNote(note) {
  const cut = note.indexOf('\n\n');
  const text = note.slice(0, cut + 1);
  const rows = text.split('\n');
  if (cut < 0 || rows.length !== 4 || !/^(0|[1-9][0-9]*)$/.test(rows[1])) {
    throw new Error('the checkpoint has not its form');
  }
  return { text, origin: rows[0], size: Number(rows[1]),
    root: bytesOf(rows[2]), lines: note.slice(cut + 2).split('\n') };
}

/* true, false, or null where the browser has no Ed25519. */
async function isSigned(note, key) {
  const ascii = new TextEncoder();
  const id = (await sha256(ascii.encode(key.name + '\n'), key.type, key.raw))
    .slice(0, 4);
  const hex = [...id].map((b) => b.toString(16).padStart(2, '0')).join('');
  if (hex !== key.id || note.origin !== key.name) return false;
  let imported;
  try {
    imported = await crypto.subtle.importKey('raw', key.raw,
      { name: 'Ed25519' }, false, ['verify']);
  } catch {
    return null;
  }
  for (const line of note.lines) {
    const start = '\u2014 ' + key.name + ' ';
    if (!line.startsWith(start)) continue;
    const signature = bytesOf(line.slice(start.length));
    if (!same(signature.slice(0, 4), id)) continue;
    return crypto.subtle.verify({ name: 'Ed25519' }, imported,
      signature.slice(4), ascii.encode(note.text));
  }
  return false;
}

/* ---- the verdict ---- */

const checks = [];

/* ok: true, false, or null: it could not be told. */
function told(ok, text) {
  checks.push({ ok, text });
}

function isInPlace() {
  if (lines.length !== head.period.end - head.period.first) return false;
  return leaves.every((leaf, i) =>
    at(leaf, 'seq') === head.period.first + i &&
    (i === 0 || at(leaf, 'prev') === base64Of(hashes[i - 1])));
}

async function check() {
  const ascii = new TextEncoder();
  if (!globalThis.crypto || !crypto.subtle) {
    told(null, 'this browser gives no cryptography to a file');
    return;
  }
  hashes.push(...await inBatches(lines.length,
    (i) => sha256(LEAF, ascii.encode(lines[i]))));
  told(isInPlace(), 'each record holds its number and the hash of the one ' +
    'before it: ' + lines.length + ' records hashed');
  if (!head.checkpoint.note) {
    told(null, 'there is no signed checkpoint yet to check them by');
    return;
  }
  const note = readNote(head.checkpoint.note);
  told(same(await logRoot(note.size), note.root),
    'all of them are in the log of ' + note.size +
    ' records that the checkpoint names');
  told(await isSigned(note, readKey(head.checkpoint.key)),
    "the checkpoint's signature is the log key's (Ed25519)");
}

const SIGNS = { true: '\u2713', false: '\u2717', null: '?' };
const WORDS = { true: 'ok', false: 'no', null: 'maybe' };

function showVerdict() {
  const box = document.getElementById('verdict');
  const bad = checks.some((c) => c.ok === false);
  const unknown = checks.some((c) => c.ok === null);
  const newer = head.checkpoint.uncovered || 0;
  const missing = newer + (newer === 1 ? ' newer record is'
    : ' newer records are') + ' under no checkpoint yet';
  const word = bad ? 'NOT verified'
    : unknown ? (head.checkpoint.note ? 'this browser cannot check'
      : 'nothing to check by yet')
      : newer ? 'verified; ' + missing : 'verified';
  const list = make('ul');
  for (const c of checks) {
    const state = c.ok === null ? ' \u2014 cannot be told here'
      : c.ok ? '' : ' \u2014 NOT so';
    list.append(make('li', { cls: WORDS[c.ok] },
      make('span', { cls: 'sign', text: SIGNS[c.ok] }),
      make('span', { text: plain(c.text) + state })));
  }
  if (newer && (bad || unknown)) {
    list.append(make('li', { cls: 'maybe' },
      make('span', { cls: 'sign', text: SIGNS.null }),
      make('span', { text: missing })));
  }
  box.className = bad ? 'bad' : unknown || newer ? 'unknown' : 'good';
  box.replaceChildren(make('p', { cls: 'word',
    text: (bad ? '\u2717 ' : unknown || newer ? '? ' : '\u2713 ') + word }), list,
  make('p', { cls: 'soft', text: 'Checked just now by this page itself. ' +
    'Whoever could change the page could change its checks: compare the ' +
    "log's key below with the one that you were given in another way, or " +
    'have the records checked by a program of your own.' }));
  document.documentElement.dataset.verdict = word;
}

/* ---- tables ---- */

function table(columns, rows, id) {
  const t = make('table', id ? { id } : {});
  t.append(make('thead', {}, make('tr', {}, ...columns.map((c) =>
    make('th', { cls: c.cls || '', scope: 'col', text: c.title })))));
  t.append(make('tbody', {}, ...rows));
  return make('div', { cls: 'scroll' }, t);
}

function section(id, title, note, content) {
  const s = make('section', { 'aria-labelledby': id },
    make('h2', { id, text: title }));
  if (note) s.append(make('p', { cls: 'soft', text: note }));
  s.append(content);
  return s;
}

const nothing = (text) => make('p', { cls: 'empty', text });

function details(i) {
  const leaf = leaves[i];
  const list = make('dl');
  const hash = hashes[i] ? base64Of(hashes[i]) : 'not computed';
  for (const [name, value] of [['leaf hash', hash], ['op', at(leaf, 'op')],
    ['rule', at(leaf, 'details.offer')],
    ['from', at(leaf, 'actor.hints.exe')]]) {
    if (value !== undefined) {
      list.append(make('dt', { text: name }),
        make('dd', { cls: 'mono wrap', text: plain(value) }));
    }
  }
  return make('div', {}, list, make('p', { cls: 'soft',
    text: 'The record, byte for byte:' }), make('pre', { text: lines[i] }));
}

/* A row that opens: the record's own bytes under it. */
function leafRow(i, cells) {
  const seq = at(leaves[i], 'seq');
  const open = make('button', { type: 'button', cls: 'seq',
    'aria-expanded': 'false', text: '\u25b8 ' + seq,
    'aria-label': 'record ' + seq });
  const row = make('tr', {}, make('td', { cls: 'n' }, open), ...cells);
  open.addEventListener('click', () => {
    const isOpen = open.getAttribute('aria-expanded') === 'true';
    open.setAttribute('aria-expanded', String(!isOpen));
    open.textContent = (isOpen ? '\u25b8 ' : '\u25be ') + seq;
    row.classList.toggle('open', !isOpen);
    if (isOpen) row.nextSibling.remove();
    else {
      row.after(make('tr', { cls: 'leaf' },
        make('td', { colspan: String(cells.length + 1) }, details(i))));
    }
  });
  return row;
}

const cell = (text, cls) => make('td', { cls: cls || 'wrap', text: plain(text) });

/* Refused, and not by policy: a name that is not there, or is taken. */
function isRefused(leaf) {
  const error = at(leaf, 'error');
  if (at(leaf, 'decision') !== 'deny' || error === undefined) return false;
  return error === 'busy' ? (at(leaf, 'rules') || []).length === 0
    : error !== 'denied';
}

/* How it went, in words: a colour is only added. */
function result(leaf) {
  const decision = at(leaf, 'decision');
  const outcome = at(leaf, 'outcome');
  if (isRefused(leaf)) {
    return { text: '\u2717 refused (' + plain(at(leaf, 'error')) + ')',
      cls: 'no' };
  }
  if (decision === 'deny') return { text: '\u2717 denied', cls: 'no' };
  if (outcome !== undefined && outcome !== 'ok') {
    const error = at(leaf, 'error');
    return { text: '\u2717 ' + plain(outcome) +
      (error ? ' (' + plain(error) + ')' : ''), cls: 'no' };
  }
  if (outcome === 'ok') return { text: '\u2713 ok', cls: 'ok' };
  return { text: decision === 'permit' ? 'permitted' : plain(
    at(leaf, 'phase')), cls: '' };
}

function what(leaf) {
  const d = at(leaf, 'details') || {};
  if (d.count) return plain(d.count) + ' denials';
  if (d.verb) {
    return plain([d.verb, d.resource, d.object].filter(Boolean).join(' '));
  }
  if (d.purpose) return 'signature';
  if (d.new_version !== undefined) {
    return 'version ' + plain(d.old_version) + ' to ' + plain(d.new_version);
  }
  if (d.new_name) return 'now called ' + plain(d.new_name);
  if (d.for_action) return plain(d.method) + ': ' + plain(d.for_action);
  if (d.kind) return plain(d.kind) + (d.read_only ? ', read-only' : '');
  return plain(d.method || d.command || d.because || '');
}

const RECORD = [{ title: 'Record', cls: 'n' }, { title: 'Time (UTC)' },
  { title: 'Who' }, { title: 'Action' }, { title: 'Entry' },
  { title: 'Result' }, { title: 'What', cls: 'wide' },
  { title: 'Reason, ticket', cls: 'wide' }];

function recordRow(i) {
  const leaf = leaves[i];
  const r = result(leaf);
  const why = [at(leaf, 'reason'), at(leaf, 'ticket')].filter(Boolean);
  return leafRow(i, [
    cell(String(at(leaf, 'time')).replace('T', ' ').replace('Z', ''), 'time'),
    cell(at(leaf, 'actor.user')), cell(at(leaf, 'action')),
    cell(at(leaf, 'entry')), make('td', { cls: r.cls, text: r.text }),
    cell(what(leaf), 'wide wrap'), cell(why.join(', '), 'wide wrap')]);
}

/* Many rows: the first, and a button for the rest. */
function records(list, none) {
  if (list.length === 0) return nothing(none);
  const box = table(RECORD, list.slice(0, PER_PAGE).map(recordRow));
  const body = box.querySelector('tbody');
  let shown = Math.min(list.length, PER_PAGE);
  if (shown < list.length) {
    const more = make('button', { type: 'button', cls: 'more' });
    const label = () => {
      more.textContent = 'show more (' + (list.length - shown) + ' left)';
    };
    label();
    more.addEventListener('click', () => {
      const next = list.slice(shown, shown + PER_PAGE);
      body.append(...next.map(recordRow));
      shown += next.length;
      if (shown === list.length) more.remove();
      else label();
    });
    box.append(more);
  }
  return box;
}

/* ---- what is shown ---- */

const picked = { exports: [], denied: [], refused: [], glass: [], approvals: [],
  changes: [], events: [] };
const CHANGES = ['policy.apply', 'import', 'fetch', 'fetch.service', 'remove',
  'edit', 'renew', 'rotate', 'revoke', 'admin'];
const EVENTS = ['log', 'clock', 'journal', 'gc-destroy', 'broker'];

function pick() {
  leaves.forEach((leaf, i) => {
    const action = at(leaf, 'action');
    const phase = at(leaf, 'phase');
    const denied = at(leaf, 'decision') === 'deny';
    if (isRefused(leaf)) picked.refused.push(i);
    else if (denied) picked.denied.push(i);
    else if (action === 'export') picked.exports.push(i);
    if (at(leaf, 'details.break_glass') === true && phase !== 'outcome') {
      picked.glass.push(i);
    }
    if (action === 'approve' && phase === 'outcome') picked.approvals.push(i);
    if (CHANGES.includes(action) && phase === 'outcome') picked.changes.push(i);
    if (EVENTS.includes(action)) picked.events.push(i);
  });
}

/* What a permit counts as; undefined: as nothing. */
function use(leaf) {
  const action = at(leaf, 'action');
  const phase = at(leaf, 'phase');
  if (phase === 'outcome') return undefined;
  if (action === 'use') {
    if (at(leaf, 'details.method') === 'UseEnd') return undefined;
    if (at(leaf, 'details.verb')) return 'requests';
    if (at(leaf, 'details.purpose')) return 'signatures';
    return phase === 'decision' ? 'uses' : undefined;
  }
  if (phase !== 'decision') return undefined;
  return { 'sign.raw': 'signatures', export: 'exports', issue: 'issued' }[
    action];
}

function matrix() {
  const who = new Map();
  const entries = new Set();
  for (const leaf of leaves) {
    const denied = at(leaf, 'decision') === 'deny';
    const kind = denied ? 'denied' : use(leaf);
    const entry = at(leaf, 'entry');
    if (isRefused(leaf)) continue;
    if (kind === undefined || entry === undefined) continue;
    const name = plain(at(leaf, 'actor.user'));
    if (!who.has(name)) who.set(name, new Map());
    const row = who.get(name);
    if (!row.has(entry)) row.set(entry, {});
    const counts = row.get(entry);
    counts[kind] = (counts[kind] || 0) + (at(leaf, 'details.count') || 1);
    entries.add(entry);
  }
  if (who.size === 0) return nothing('nobody used anything');
  const rows = [];
  for (const [name, row] of [...who].sort()) {
    let first = true;
    for (const [entry, c] of [...row].sort()) {
      rows.push(make('tr', {},
        first ? make('th', { scope: 'rowgroup', rowspan: String(row.size),
          cls: 'wrap', text: name }) : null, cell(entry),
        ...['uses', 'requests', 'signatures', 'exports', 'issued'].map((k) =>
          make('td', { cls: 'n', text: c[k] ? String(c[k]) : '\u00b7' })),
        make('td', { cls: c.denied ? 'n no' : 'n',
          text: c.denied ? '\u2717 ' + c.denied : '\u00b7' })));
      first = false;
    }
  }
  return table([{ title: 'Who' }, { title: 'Entry' },
    { title: 'Uses', cls: 'n' }, { title: 'Requests', cls: 'n' },
    { title: 'Signatures', cls: 'n' }, { title: 'Exports', cls: 'n' },
    { title: 'Issued', cls: 'n' }, { title: 'Denied', cls: 'n' }], rows);
}

function expiring() {
  const list = head.expiring || [];
  if (list.length === 0) return nothing('none');
  return table([{ title: 'Ends (UTC)' }, { title: 'Entry' },
    { title: 'Key' }, { title: '' }],
  list.map((e) => make('tr', {}, cell(String(e.not_after).replace('T', ' ')
    .replace('Z', ''), 'time'), cell(e.name), cell(e.location),
  make('td', { cls: e.expired ? 'no' : 'maybe',
    text: e.expired ? '\u2717 has ended' : '! ends soon' }))));
}

/* ---- the timeline ---- */

const HOUR = 3600e3;
const STEPS = [HOUR, 6 * HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR,
  365 * 24 * HOUR, 3650 * 24 * HOUR];
const STEP_WORDS = ['hour', 'six hours', 'day', 'week', '30 days', 'year',
  'ten years'];

function buckets() {
  const times = leaves.map((l) => Date.parse(at(l, 'time')));
  let low = Infinity;
  let high = -Infinity;
  for (const t of times) {
    low = Math.min(low, t);
    high = Math.max(high, t);
  }
  let k = 0;
  while (k < STEPS.length - 1 && (high - low) / STEPS[k] > 46) k++;
  const step = STEPS[k];
  const start = Math.floor(low / step) * step;
  const out = [];
  for (let t = start; t <= high; t += step) {
    out.push({ at: t, all: 0, denied: 0 });
  }
  times.forEach((t, i) => {
    const b = out[Math.floor((t - start) / step)];
    b.all++;
    if (at(leaves[i], 'decision') === 'deny' && !isRefused(leaves[i])) {
      b.denied++;
    }
  });
  return { list: out, step, word: STEP_WORDS[k] };
}

function drawn(tag, options, text) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(options)) {
    e.setAttribute(key, String(value));
  }
  if (text !== undefined) e.textContent = text;
  return e;
}

const day = (t, step) => new Date(t).toISOString()
  .slice(0, step < 24 * HOUR ? 16 : 10).replace('T', ' ');

function timeline() {
  if (leaves.length === 0) return nothing('no records');
  const { list, step, word } = buckets();
  const most = Math.max(...list.map((b) => b.all));
  const w = 900;
  const h = 130;
  const bar = Math.min(60, w / list.length);
  const svg = drawn('svg', { viewBox: `0 0 ${w} ${h + 22}`, role: 'img',
    'aria-label': `records in each ${word}; most: ${most}` });
  svg.append(drawn('line', { x1: 0, y1: h, x2: w, y2: h }));
  list.forEach((b, i) => {
    const tall = most === 0 ? 0 : b.all / most * (h - 16);
    const red = most === 0 ? 0 : b.denied / most * (h - 16);
    const g = drawn('g', {});
    g.append(drawn('title', {}, `${day(b.at, step)}: ${b.all} records, ` +
      `${b.denied} denied`));
    g.append(drawn('rect', { class: 'all', x: i * bar + 1,
      y: h - tall, width: Math.max(1, bar - 2), height: tall }));
    if (b.denied > 0) {
      g.append(drawn('rect', { class: 'denied', x: i * bar + 1,
        y: h - Math.max(3, red), width: Math.max(1, bar - 2),
        height: Math.max(3, red) }));
      if (bar >= 14) {
        g.append(drawn('text', { x: i * bar + bar / 2, y: h - tall - 4,
          'text-anchor': 'middle' }, '\u2717' + b.denied));
      }
    }
    svg.append(g);
  });
  svg.append(drawn('text', { x: 0, y: h + 16 }, day(list[0].at, step)));
  if (list.length * bar > 300) {
    svg.append(drawn('text', { x: list.length * bar, y: h + 16,
      'text-anchor': 'end' }, day(list[list.length - 1].at, step)));
  }
  return make('div', {}, make('div', { cls: 'scroll' }, svg), make('p', { cls: 'soft legend' },
    make('span', {}, make('span', { cls: 'box all' }),
      `records in each ${word}, at most ${most}`),
    make('span', {}, make('span', { cls: 'box denied' }),
      'of these denied (\u2717)')));
}

/* ---- all records ---- */

function browser() {
  const text = make('input', { type: 'search', id: 'find',
    placeholder: 'find in records: a name, a reason, a ticket ...',
    'aria-label': 'find in records' });
  const action = make('select', { 'aria-label': 'action' },
    make('option', { value: '', text: 'all actions' }));
  const names = new Set(leaves.map((l) => plain(at(l, 'action'))));
  for (const name of [...names].sort()) {
    action.append(make('option', { value: name, text: name }));
  }
  const only = make('select', { 'aria-label': 'result' },
    make('option', { value: '', text: 'all results' }),
    make('option', { value: 'no', text: 'denied, refused or failed' }));
  const count = make('p', { cls: 'soft', role: 'status' });
  const box = make('div');
  function show() {
    const wanted = text.value.toLowerCase();
    const list = [];
    for (let i = 0; i < leaves.length; i++) {
      if ((action.value === '' || at(leaves[i], 'action') === action.value) &&
          (only.value === '' || result(leaves[i]).cls === 'no') &&
          (wanted === '' || lines[i].toLowerCase().includes(wanted))) {
        list.push(i);
      }
    }
    count.textContent = list.length === leaves.length
      ? `${list.length} records` : `${list.length} of ${leaves.length} records`;
    box.replaceChildren(records(list, 'no record is like that'));
  }
  let timer = 0;
  text.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(show, 150);
  });
  action.addEventListener('change', show);
  only.addEventListener('change', show);
  show();
  return make('div', {}, make('div', { cls: 'controls' }, text, action, only),
    count, box);
}

/* ---- the page ---- */

function card(n, word, id) {
  return make('a', { cls: 'card', href: '#' + id },
    make('b', { text: String(n) }), make('span', { cls: 'soft', text: word }));
}

function facts() {
  const list = make('dl');
  for (const [name, value] of [
    ['records', head.period.end > head.period.first
      ? `${head.period.first} to ${head.period.end - 1}` : 'none'],
    ['vault', head.vault_id], ['host', head.host], ['made', head.made],
    ["log's key", head.checkpoint.key], ['root', head.checkpoint.root],
    ['anchored', head.anchored], ['archived', head.archived]]) {
    if (value !== undefined) {
      list.append(make('dt', { text: name }),
        make('dd', { cls: 'mono wrap', text: plain(value) }));
    }
  }
  return list;
}

function show() {
  const main = document.getElementById('main');
  const keysOut = picked.exports.filter(
    (i) => at(leaves[i], 'phase') === 'decision').length;
  main.append(facts(), make('nav', { cls: 'cards', 'aria-label': 'sections' },
    card(leaves.length, 'records', 'all'),
    card(keysOut, 'keys exported', 'exports'),
    card(picked.denied.length, 'denied', 'denied'),
    card(picked.glass.length, 'break-glass', 'glass'),
    card(picked.approvals.length, 'approvals', 'approvals'),
    card((head.expiring || []).length, 'end soon', 'expiring')),
  section('time', 'Timeline', '', timeline()),
  section('who', 'Who used what', 'Permits counted; requests and signatures ' +
    'belong to uses.', matrix()),
  section('exports', 'Keys that left the vault', '',
    records(picked.exports, 'none')),
  section('denied', 'Denied', '', records(picked.denied, 'nothing')),
  section('refused', 'Refused, and not by policy',
    'Names that are not there, or are taken, and the like.',
    records(picked.refused, 'nothing')),
  section('glass', 'Break-glass', 'Permits by a rule for emergencies.',
    records(picked.glass, 'none')),
  section('approvals', 'Approvals', '', records(picked.approvals, 'none')),
  section('changes', 'Changes', 'Of policies, entries, slots and tokens.',
    records(picked.changes, 'none')),
  section('expiring', 'Entries that end within 30 days',
    'Of the vault as it was when this report was made; not from the record.',
    expiring()),
  section('events', 'What the log tells of itself', '',
    records(picked.events, 'nothing')),
  section('all', 'All records', 'Each opens to its own bytes.', browser()));
}

async function run() {
  try {
    for (const line of lines) leaves.push(JSON.parse(line));
  } catch {
    told(false, 'a record is no JSON');
  }
  if (checks.length === 0) {
    try {
      await check();
    } catch (e) {
      told(false, String(e.message));
    }
  }
  showVerdict();
  pick();
  show();
  document.documentElement.dataset.done = 'yes';
}

run();
