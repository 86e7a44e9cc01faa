"""Pre-operative staging: from a hospital's cohort to a validated algorithm for grand-challenge.org.

The packages form floors; each imports only from the floors below it (``tests/test_floors.py``).
"""

__version__ = "0.1.0"
