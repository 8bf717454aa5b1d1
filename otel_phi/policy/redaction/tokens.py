r"""Tokens of vendors, told by how they begin: each row is a format that its vendor documents, or scanners are known to look for.

Rule 1: a token is a run of 20 characters or more. Runs are found first, in one pass; few begin, or go on behind a separator,
        with two letters that any token begins with.
Rule 2: no letter or digit stands before a token, but for that of an escape (`\n`, `%3D`). What begins so that no word and no
        base64 does is found behind a letter too.
Rule 3: a format of few fixed characters asks for more than its beginning: a length, an alphabet, digits among letters.
Rule 4: what is public by its vendor's word (publishable keys, account ids, public halves of pairs) is no secret.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from otel_phi.policy.redaction.hits import Hit

_W = r"[A-Za-z0-9_-]"
_A = r"[A-Za-z0-9]"
_H = r"[0-9a-fA-F]"
_DIGIT = r"(?=[A-Za-z_-]{0,40}\d)"

# Kind, beginnings, what follows. `!` before the first: it is found behind a letter too (rule 2).
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("github_token", "!ghp_ gho_ ghu_ ghs_ ghr_", rf"{_A}{{20,255}}"),
    ("github_token", "!github_pat_", r"[A-Za-z0-9_]{20,255}"),
    ("gitlab_token", "!glpat- gldt- glptt- glrt- glrtr- glcbt- glimt- glft- glsoat- glagent- gloas-", r"[\w.=-]{16,}"),
    ("gitlab_token", "GR1348941", rf"{_W}{{16,}}"),
    ("slack_token", "!xoxb- xoxp- xoxa- xoxo- xoxr- xoxs- xoxe- xoxc- xoxd- xoxe.xoxb- xoxe.xoxp- xapp-", r"[A-Za-z0-9%-]{10,}"),
    ("anthropic_key", "!sk-ant-", rf"{_W}{{16,}}"),
    ("openai_key", "!sk-proj- sk-svcacct- sk-admin- sk-None-", rf"{_W}{{16,}}"),
    ("openai_key", "sess-", rf"{_A}{{30,}}"),
    ("openrouter_key", "!sk-or-v1-", rf"{_W}{{16,}}"),
    ("langfuse_key", "!sk-lf-", rf"{_W}{{16,}}"),
    ("google_oauth", "!GOCSPX-", rf"{_W}{{16,}}"),
    ("google_oauth", "ya29.", r"[\w.-]{16,}"),
    ("google_api_key", "AIza", rf"{_W}{{30,}}"),
    ("google_api_key", "AQ.A", rf"{_W}{{24,}}"),
    ("npm_token", "!npm_", rf"{_A}{{30,}}"),
    ("pypi_token", "!pypi-A", rf"{_W}{{16,}}"),
    ("docker_token", "!dckr_pat_ dckr_oat_", rf"{_W}{{16,}}"),
    ("digitalocean_token", "!dop_v1_ doo_v1_ dor_v1_", rf"{_H}{{32,}}"),
    ("shopify_token", "!shpat_ shpca_ shppa_ shpss_ shprt_", rf"{_A}{{20,}}"),
    ("stripe_key", "!sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_", rf"{_A}{{10,}}"),
    ("stripe_key", "!whsec_", r"[A-Za-z0-9+/=]{16,}"),
    ("langsmith_key", "!lsv2_pt_ lsv2_sk_", rf"{_W}{{16,}}"),
    ("linear_key", "!lin_api_ lin_oauth_", rf"{_A}{{20,}}"),
    ("figma_token", "figd_ figo_ figr_", rf"{_W}{{20,}}"),
    ("grafana_token", "glsa_ glc_", r"[A-Za-z0-9_+/=-]{20,}"),
    ("newrelic_key", "!NRAK- NRII- NRJS- NRRA- NRAA- NRBR-", rf"{_W}{{16,}}"),
    ("sentry_token", "sntrys_ sntryu_", r"[A-Za-z0-9_+/=-]{20,}"),
    ("supabase_key", "sbp_ sb_secret_", rf"{_W}{{16,}}"),
    ("planetscale_token", "!pscale_pw_ pscale_tkn_ pscale_oauth_", r"[\w.=-]{16,}"),
    ("tailscale_key", "!tskey-", rf"{_W}{{16,}}"),
    ("postman_key", "!PMAK-", rf"{_W}{{20,}}"),
    ("rubygems_key", "!rubygems_", rf"{_H}{{24,}}"),
    ("nvidia_key", "!nvapi-", rf"{_W}{{20,}}"),
    ("tavily_key", "!tvly-", rf"{_W}{{16,}}"),
    ("groq_key", "!gsk_", rf"{_A}{{20,}}"),
    ("xai_key", "!xai-", rf"{_A}{{20,}}"),
    ("perplexity_key", "!pplx-", rf"{_A}{{20,}}"),
    ("pinecone_key", "pcsk_", rf"{_W}{{20,}}"),
    ("age_key", "!AGE-SECRET-KEY-", rf"{_A}{{20,}}"),
    ("square_token", "sq0atp- sq0csp- sq0idp-", rf"{_W}{{16,}}"),
    ("jwt", "eyJ eyK", r"[\w=-]{8,}\.[\w=-]{8,}(?:\.[\w=-]*){0,3}"),
    ("onepassword_token", "ops_ey", rf"{_W}{{30,}}"),
    ("airtable_token", "pat", rf"{_A}{{14}}\.{_H}{{40,}}"),
    ("doppler_token", "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.", r"[\w.-]{16,}"),
    ("dynatrace_token", "dt0c01. dt0s01. dt0s16.", r"[A-Za-z0-9.]{20,}"),
    ("atlassian_token", "ATATT ATCTT ATBB ATSTT", r"(?=[A-Za-z_-]{0,40}\d)[\w=-]{24,}"),
    ("pulumi_token", "pul-", rf"{_H}{{32,}}"),
    ("heroku_key", "!HRKU-", rf"{_W}{{20,}}"),
    ("buildkite_token", "bkua_ bkaj_ bkct_", rf"{_A}{{30,}}"),
    ("circleci_token", "!CCIPAT_ CCIPRJ_", rf"{_W}{{20,}}"),
    ("sonar_token", "sqp_ squ_ sqa_", rf"{_H}{{30,}}"),
    ("plaid_token", "access-sandbox- access-development- access-production-", rf"{_W}{{20,}}"),
    ("paypal_token", "access_token$production$ access_token$sandbox$", r"[A-Za-z0-9$]{20,}"),
    ("shippo_token", "shippo_live_ shippo_test_", rf"{_A}{{20,}}"),
    ("duffel_token", "duffel_live_ duffel_test_", rf"{_W}{{20,}}"),
    ("contentful_token", "CFPAT-", rf"{_W}{{20,}}"),
    ("openshift_token", "sha256~", rf"{_W}{{30,}}"),
    ("aws_access_key", "AKIA ASIA ABIA ACCA", r"[A-Z0-9]{12,24}(?![A-Za-z0-9+/])"),
    ("aws_bedrock_key", "ABSK", r"[A-Za-z0-9+/=]{60,}"),
    ("huggingface_token", "hf_ api_org_", rf"{_A}{{24,}}"),
    ("replicate_token", "r8_", rf"{_A}{{20,}}"),
    ("fireworks_key", "fw_", rf"{_DIGIT}{_A}{{20,}}"),
    ("cerebras_key", "csk-", rf"{_DIGIT}{_A}{{24,}}"),
    ("e2b_key", "e2b_", rf"{_H}{{32,}}"),
    ("firecrawl_key", "fc-", rf"{_H}{{32}}"),
    ("jina_key", "jina_", rf"{_W}{{30,}}"),
    ("together_key", "tgp_v1_", rf"{_W}{{20,}}"),
    ("resend_key", "re_", rf"{_DIGIT}{_A}{{6,10}}_{_A}{{16,}}"),
    ("databricks_token", "dapi dkea", rf"{_H}{{32}}(?:-\d)?"),
    ("vault_token", "hvs. hvb. hvr.", r"[\w.-]{16,}"),
    ("sendgrid_key", "SG.", rf"{_W}{{10,}}\.{_W}{{10,}}"),
    ("notion_token", "ntn_", rf"{_A}{{20,}}"),
    ("notion_token", "secret_", rf"{_DIGIT}{_A}{{40,}}"),
    ("mailgun_key", "key-", rf"{_H}{{32}}"),
    ("posthog_key", "phx_", rf"{_A}{{20,}}"),
    ("netlify_token", "nfp_", rf"{_A}{{20,}}"),
    ("fly_token", "fo1_ fm1_ fm2_ fm1r_ fm1a_", r"[A-Za-z0-9_+/=-]{30,}"),
    ("clickhouse_key", "4b1d", rf"{_A}{{38}}"),
    ("alibaba_key", "LTAI", rf"{_A}{{12,30}}(?![A-Za-z0-9+/])"),
    ("tencent_key", "AKID", rf"{_DIGIT}{_A}{{28,40}}(?![A-Za-z0-9+/])"),
    ("jfrog_key", "AKCp", rf"{_A}{{50,}}"),
    ("easypost_key", "EZAK EZTK", rf"{_A}{{50,}}"),
    ("facebook_token", "EAA", rf"{_DIGIT}{_A}{{80,}}(?![A-Za-z0-9+/=])"),
    ("crates_token", "cio", rf"{_DIGIT}{_A}{{32}}(?![A-Za-z0-9])"),
    ("twilio_key", "SK", rf"{_H}{{32}}(?![A-Za-z0-9])"),
    ("prefect_key", "pnu_ pnb_", rf"{_A}{{30,}}"),
    ("dropbox_token", "sl.", rf"{_DIGIT}{_W}{{60,}}"),
    ("hubspot_token", "pat-na1- pat-na2- pat-eu1- pat-ap1-", rf"{_W}{{30,}}"),
    ("discord_token", "MT MD MZ Mj Mz ND NT NZ Nj Nz OD OT OZ", rf"{_W}{{20,25}}\.{_W}{{6}}\.{_W}{{27,45}}"),
    # Its first four characters, which stand before the beginning that tells, are taken along: `_LEAD`.
    ("azure_secret", "!0Q~ 1Q~ 2Q~ 3Q~ 4Q~ 5Q~ 6Q~ 7Q~ 8Q~ 9Q~", r"[A-Za-z0-9_~.-]{24,}"),
    # Old keys of OpenAI, and of the many that speak like it (DeepSeek, LiteLLM, ElevenLabs): digits among letters, which no class of
    # a style sheet has.
    ("api_key", "sk-", rf"(?:[a-z0-9]{{1,12}}-){{0,3}}{_DIGIT}(?=[0-9_-]{{0,40}}[A-Za-z]){_A}{{20,}}{_W}*"),
    ("api_key", "sk_", rf"(?:[a-z0-9]{{1,12}}_){{0,2}}{_DIGIT}{_A}{{32,}}"),
)  # fmt: skip
# What has no beginning of its own: a literal that it holds, its pattern.
_ODD: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("telegram_token", ":AA", re.compile(rf"(?<!\d)\d{{8,10}}:AA{_W}{{30,40}}")),
    (
        "webhook_url",
        "hook",
        re.compile(
            r"https://(?:hooks\.[a-z.]{3,40}/(?:services|workflows|triggers|hooks)/[\w/-]{16,}"
            r"|(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{16,}|[\w.-]{1,80}webhook\.office\.com/[\w@/-]{16,})"
        ),
    ),
)

_RUN = re.compile(r"\b[A-Za-z0-9_.~$-]{20,}", re.ASCII)
_INNER = re.compile(r"[_.~$-](?=[A-Za-z0-9]{2})")
_LEAD = {"azure_secret": 3}
_Row = tuple[str, str, str]
# A pattern is compiled when its beginning is met: all of them would make the start of every command a tenth slower.
_compiled = functools.cache(functools.partial(re.compile, flags=re.ASCII))


def _tables() -> tuple[dict[str, list[_Row]], dict[str, list[_Row]]]:
    """Returns the rows by the first two characters of a beginning; and those found behind a letter too, by its last three."""
    first: dict[str, list[_Row]] = {}
    last: dict[str, list[_Row]] = {}
    for kind, starts, rest in _ROWS:
        for start in starts.removeprefix("!").split():
            row = (kind, start, rest)
            first.setdefault(start[:2], []).append(row)
            if starts.startswith("!"):
                last.setdefault(start[-3:], []).append(row)
    return first, last


_BY_TWO, _BY_END = _tables()
_ESCAPED = frozenset("nrtbfv")


def tokens(text: str) -> list[Hit]:
    """Returns the vendors' tokens in a text whose escapes are decoded."""
    hits: list[Hit] = []
    by_two, by_end, inner_of = _BY_TWO.get, _BY_END.get, _INNER.finditer
    for run in _RUN.finditer(text):
        start, end = run.span()
        rows = by_two(text[start : start + 2])
        if rows is not None:
            hits += _at(text, start, rows)
        if start and text[start - 1] in "\\%":
            hits += _behind_an_escape(text, start)
        for inner in inner_of(text, start, end):
            at = inner.end()
            rows = by_two(text[at : at + 2])
            if rows is not None:
                hits += _at(text, at, rows)
            rows = by_end(text[at - 3 : at])
            if rows is not None:
                hits += _before(text, start, at, rows)
    for kind, literal, pattern in _ODD:
        if literal in text:
            hits += [Hit(found.start(), found.end(), kind) for found in pattern.finditer(text)]
    return hits


def _behind_an_escape(text: str, start: int) -> Iterator[Hit]:
    if text[start - 1] == "%":
        start += 2
    elif text[start] in _ESCAPED:
        start += 1
    yield from _at(text, start, _BY_TWO.get(text[start : start + 2], ()))


def _before(text: str, run: int, at: int, rows: list[_Row]) -> Iterator[Hit]:
    """Yields the tokens whose beginning ends at `at`, behind the run's own beginning."""
    for kind, start, rest in rows:
        if at - len(start) > run and text.endswith(start, run, at):
            found = _compiled(rest).match(text, at)
            if found is not None:
                yield Hit(max(at - len(start) - _LEAD.get(kind, 0), run), found.end(), kind)


def _at(text: str, at: int, rows: list[_Row] | tuple[()]) -> Iterator[Hit]:
    for kind, start, rest in rows:
        if text.startswith(start, at):
            found = _compiled(rest).match(text, at + len(start))
            if found is not None:
                yield Hit(at, found.end(), kind)
