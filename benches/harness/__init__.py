"""Parts of `make bench`: each file is one noun of the harness."""
