"""What becomes of the trail with time: segments turn cold and go (`retention.py`) unless two people hold them
(`holds.py`), and copies of them lie where nobody can delete them (`archiving.py`)."""
