"""`python -m benchmarks.scoring`, the same as `python -m benchmarks scoring`."""

from benchmarks.speed.scoring import main

if __name__ == "__main__":
    main()
