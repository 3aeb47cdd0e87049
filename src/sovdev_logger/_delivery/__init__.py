"""What outputs that leave the machine share: queue, batches, retry and transport."""
