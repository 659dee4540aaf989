"""What importing the layer costs."""

import subprocess
import sys


def test_importing_and_reading_a_csv_loads_nothing_heavy(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\none two three,a\nfour five six,b\n")
    code = (
        "import sys, headstart.data as d; d.read(sys.argv[1]); d.samples();"
        "print([m for m in ('pandas', 'sklearn', 'scipy', 'pyarrow', 'PIL', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "t.csv"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
