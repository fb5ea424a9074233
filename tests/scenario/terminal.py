"""Programs that ask a human: each on a terminal of its own."""

import os
import pty
import select
import signal
import termios
import time

import harness


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, cli, *words, stdout=None):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            if stdout is not None:
                os.dup2(stdout, 1)
            os.execve(harness.program(), cli.argv(*words), cli.env())
        self.seen = b""       # all that was shown
        self.passed = 0       # how much of it `until` has gone past

    def until(self, text, seconds=60):
        """Waits until `text` is shown, behind what was waited for before."""
        end = time.monotonic() + seconds
        while text not in self.seen[self.passed:]:
            left = end - time.monotonic()
            assert left > 0, self.seen
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 4096)
                except OSError:
                    data = b""
                assert data, self.seen
                self.seen += data
        self.passed = self.seen.index(text, self.passed) + len(text)

    def echoes(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def type(self, text):
        os.write(self.master, text)

    def end(self, seconds=60):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 4096)
            except OSError:
                break
            if not data:
                break
            self.seen += data
        else:
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.master)
        return code
