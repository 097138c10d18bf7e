"""The stages of the DAG, a module each: `python -m pipeline.stages.NAME`.

Importing this package is a program's door: it sets up the process before NumPy is loaded.
"""

from pipeline.determinism import pin_kernels
from pipeline.processes import exit_with_command

pin_kernels()
exit_with_command()
