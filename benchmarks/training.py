"""`python -m benchmarks.training`, the same as `python -m benchmarks training`."""

from benchmarks.speed.training import main

if __name__ == "__main__":
    main()
