"""Where events come from: files, folders, standard input. Reading only; this room imports `wire` and nothing else of ours."""
