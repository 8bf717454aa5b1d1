"""The options of delivery whose defaults the configuration names, each with its reason."""

# gRPC servers refuse messages over 4 MiB unless configured otherwise (BACKENDS 3.1: Tempo, Phoenix, rotel), HTTP ones over
# 20 MiB: half a MiB below the smaller leaves room for a proxy's additions.
MAX_REQUEST_BYTES = 3_670_016
# A file's line is a request as JSON, about twice the bytes. The Collector's file receivers cut lines at 1 MiB (`max_log_size`), and what
# is cut is no JSON: half of that leaves room for content that JSON has to escape. A span larger than all of it stands alone, and is cut there.
MAX_LINE_REQUEST_BYTES = 262_144

# Without progress for so long, an offline export ends and can be resumed: a collector's restart takes less.
GIVE_UP_AFTER_S = 60.0
MISCONFIGURED_GIVE_UP_AFTER_S = 5.0
