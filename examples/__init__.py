"""Programs that show pycni at work; `make test` runs them."""
