"""What `ls` knows of files that it has read before, so that it need not read them again.

paths ─▶ found (kinds) ─▶ survey (which sessions and loops a file has) ─▶ parts (files that say something of each other)
      ─▶ rows (a part's sessions, counted) ─▶ sessions
             └─ both kept in the cache folder, by what the files were like when they were read

Rule 1: the index never decides anything: a row is what reading those files gives, kept under their sizes, times and beginnings; without
        the index the same functions give the same rows.
Rule 2: what a row depends on beside its files is kept with it and looked at again: whether each of its claims is granted, which local
        day each of its quarters of an hour is of. Where one differs, the files are read again.
Rule 3: what people wrote and models answered is never in it: ids, names of models, agents, tools and errors, repositories, numbers, times.
Rule 4: a file written to in the two seconds before it was read may change again without showing it: its row is not kept.
"""
