"""The vault: what is sealed, encrypted to one public key, listed in a signed manifest; and the keys that open it."""
