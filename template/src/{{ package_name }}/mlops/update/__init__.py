"""`copier update` with a net under it: what it loses is kept, what it leaves open is named."""
