"""The index of `ls`."""
