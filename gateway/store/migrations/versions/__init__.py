"""One file for each revision; how to add one is said in CONTRIBUTING.md."""
