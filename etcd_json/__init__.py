"""A client of etcd v3 by its JSON gateway: http.client, ssl and json, nothing else."""
