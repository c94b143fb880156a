"""Unit tests of what judges, counts and compares: a judge that accepts everything would find nothing.

cd scripts && python3 -m unittest discover cryptfs_testing
"""
