"""What may be said: a pure `event -> event`, asked at every door before anything else sees an event.

    event ─ admit ─▶ event that may be said      from anything an agent gives
            └ without_content                    takes out what a person or a model wrote
                ├ errors                         after deriving the words that the trace needs from it
                └ words                          and leaves of other texts only what is a word

This room imports `wire` alone and has no I/O, clock, randomness, environment, thread or logging.
"""
