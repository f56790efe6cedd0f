"""What a subscriber's store is: the facts that it gives, the writes that it takes, and the protocol; no SQL is here."""
