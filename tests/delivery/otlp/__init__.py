"""What phi-core writes is read, leniently, and never raises."""
