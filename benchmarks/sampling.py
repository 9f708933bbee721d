"""`python -m benchmarks.sampling`, the same as `python -m benchmarks sampling`."""

from benchmarks.speed.sampling import main

if __name__ == "__main__":
    main()
