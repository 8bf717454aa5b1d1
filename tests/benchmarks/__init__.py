"""Speed and memory as ratios against the SDK path, measured in one run: `make bench`."""
