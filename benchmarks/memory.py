"""`python -m benchmarks.memory`, the same as `python -m benchmarks memory`."""

from benchmarks.speed.memory import main

if __name__ == "__main__":
    main()
