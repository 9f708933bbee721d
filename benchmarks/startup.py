"""`python -m benchmarks.startup`, the same as `python -m benchmarks startup`."""

from benchmarks.speed.startup import main

if __name__ == "__main__":
    main()
