"""What plugins that give containers an interface share: config, plan, acts, undoing, CHECK."""
