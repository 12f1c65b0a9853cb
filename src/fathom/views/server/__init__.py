"""The live page's server: it reads runs, and never writes; nothing outside its folder is told."""
