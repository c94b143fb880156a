"""What every program here shares: making, mounting, unmounting and killing cryptfs and its peers."""
