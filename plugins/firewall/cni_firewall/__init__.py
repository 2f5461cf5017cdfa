"""The `firewall` plugin: lets containers through the host's firewall, and keeps networks apart."""
