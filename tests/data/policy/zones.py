"""Makes zones.json anew: a few zones of the tz database, slim (zic -b slim).

    zones.py /usr/share/zoneinfo/tzdata.zi > zones.json

The tz database is in the public domain. The tests use these copies, so that
they say the same on every host.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile

NAMES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
         "Asia/Kolkata", "America/Nuuk", "Pacific/Apia", "Africa/Casablanca"]

def main(source):
    out = {}
    with tempfile.TemporaryDirectory() as made:
        subprocess.run(["/usr/sbin/zic", "-b", "slim", "-d", made, source],
                       check=True)
        for name in NAMES:
            with open(os.path.join(made, name), "rb") as f:
                out[name] = base64.b64encode(f.read()).decode()
    json.dump(out, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main(sys.argv[1])
