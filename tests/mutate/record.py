"""What the model asks the driver, and what it holds for right.

    record.py DRIVER DATA COUNT QUESTIONS ANSWERS

Runs policy_compare.py, which ends where an answer is not the model's own, and
keeps its lines. CV_SEED sets what is drawn.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "scenario"))
import policy_compare  # noqa: E402


class Tap:
    """A stream that keeps a copy of what goes through it."""

    def __init__(self, stream, copy):
        self.stream, self.copy = stream, copy

    def write(self, text):
        self.copy.write(text)
        return self.stream.write(text)

    def readline(self):
        line = self.stream.readline()
        self.copy.write(line)
        return line

    def flush(self):
        self.stream.flush()

    def close(self):
        self.stream.close()
        self.copy.close()


def main(driver, data, count, questions, answers):
    asked = open(questions, "w", encoding="ascii")
    said = open(answers, "w", encoding="utf-8")

    class Recorder(policy_compare.Driver):
        def __init__(self, path):
            super().__init__(path)
            self.process.stdin = Tap(self.process.stdin, asked)
            self.process.stdout = Tap(self.process.stdout, said)

    policy_compare.Driver = Recorder
    policy_compare.all_zones = lambda files: files.items()
    policy_compare.main(driver, data, count)
    said.close()


main(*sys.argv[1:])
