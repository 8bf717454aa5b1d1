"""Secrets made up at run time, in the formats of their vendors, and the surroundings they are met in. None ever was one."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
BASE64 = ALNUM + "+/"
WORD = ALNUM + "-_"
_WORDS = "ember quartz falcon mango willow orchid tango raven copper".split()  # noqa: SIM905


class Maker:
    """A maker draws secrets, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def drawn(self, alphabet: str, length: int) -> str:
        """Returns a text of a length."""
        return "".join(self._random.choices(alphabet, k=length))

    def password(self) -> str:
        """Returns what a person or a generator takes for one."""
        one, other = self._random.choice(_WORDS), self._random.choice(_WORDS)
        return self._random.choice(
            (
                f"{one}-{other}-{self.drawn('123456789', 2)}!",
                self.drawn(ALNUM, 15) + "7",
                f"{one.title()}_{self.drawn(ALNUM, 6)}!",
            )
        )

    def lines(self, count: int) -> str:
        """Returns lines of base64, as in a PEM block."""
        return "\n".join(self.drawn(BASE64, 64) for _ in range(count))

    def escaped(self, text: str) -> str:
        """Returns a text as in JSON, some of its characters as escapes that need not be."""
        return "".join(
            f"\\u{ord(one):04x}"
            if one in "-_" or (one.isalnum() and self._random.random() < 0.15)
            else json.dumps(one)[1:-1]
            for one in text
        )


KINDS: dict[str, tuple[str, Callable[[Maker], str]]] = {
    'aws': ('{}', lambda m: 'AKIA'+m.drawn(UPPER,16)),
    'aws_secret': ('aws_secret_access_key = {}', lambda m: m.drawn(BASE64,40)),
    'aws_session': ('AWS_SESSION_TOKEN={}', lambda m: 'IQoJb3JpZ2lu'+m.drawn(BASE64,200)+'=='),
    'gh': ('{}', lambda m: 'ghp_'+m.drawn(ALNUM,36)),
    'glpat': ('{}', lambda m: 'glpat-'+m.drawn(WORD,20)),
    'slackb': ('{}', lambda m: f"xoxb-{m.drawn('0123456789',12)}-{m.drawn('0123456789',12)}-{m.drawn(ALNUM,24)}"),
    'slackp': ('{}', lambda m: f"xoxp-{m.drawn('0123456789',12)}-{m.drawn('0123456789',12)}-{m.drawn('0123456789',12)}-{m.drawn(HEX,32)}"),
    'slackapp': ('{}', lambda m: f"xapp-1-A{m.drawn(UPPER,10)}-{m.drawn('0123456789',12)}-{m.drawn(HEX,64)}"),
    'stripe': ('{}', lambda m: 'sk_live_'+m.drawn(ALNUM,24)),
    'whsec': ('{}', lambda m: 'whsec_'+m.drawn(ALNUM,32)),
    'openai': ('{}', lambda m: 'sk-'+m.drawn(ALNUM,20)+'T3BlbkFJ'+m.drawn(ALNUM,20)),
    'openaip': ('{}', lambda m: 'sk-proj-'+m.drawn(WORD,70)),
    'deepseek': ('DEEPSEEK_API_KEY={}', lambda m: 'sk-'+m.drawn(HEX,32)),
    'anthropic': ('{}', lambda m: 'sk-ant-api03-'+m.drawn(WORD,93)+'AA'),
    'google': ('{}', lambda m: 'AIza'+m.drawn(WORD,35)),
    'gcpsa': ('{{"type": "service_account", "private_key": "{}"}}', lambda m: '-----BEGIN PRIVATE KEY-----\n'+m.lines(6)+'\n-----END PRIVATE KEY-----\n'),
    'pgp': ('{}', lambda m: '-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n'+m.lines(6)+'\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----'),
    'pemenc': ('{}', lambda m: '-----BEGIN ENCRYPTED PRIVATE KEY-----\n'+m.lines(6)+'\n-----END ENCRYPTED PRIVATE KEY-----'),
    'pemtrunc': ('{}', lambda m: '-----BEGIN RSA PRIVATE KEY-----\n'+m.lines(4)),
    'hf': ('{}', lambda m: 'hf_'+m.drawn(string.ascii_letters,34)),
    'npm': ('{}', lambda m: 'npm_'+m.drawn(ALNUM,36)),
    'npmrc': ('//registry.npmjs.org/:_authToken={}', lambda m: m.drawn(HEX,8)+'-'+m.drawn(HEX,4)+'-4'+m.drawn(HEX,3)+'-a'+m.drawn(HEX,3)+'-'+m.drawn(HEX,12)),
    'pypi': ('{}', lambda m: 'pypi-AgEIcHlwaS5vcmc'+m.drawn(WORD,100)),
    'docker': ('{}', lambda m: 'dckr_pat_'+m.drawn(WORD,27)),
    'dockerauth': ('{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{}"}}}}}}', lambda m: base64.b64encode(('bob:'+m.drawn(ALNUM,16)).encode()).decode()),
    'do': ('{}', lambda m: 'dop_v1_'+m.drawn(HEX,64)),
    'databricks': ('{}', lambda m: 'dapi'+m.drawn(HEX,32)),
    'telegram': ('{}', lambda m: m.drawn('123456789',10)+':AA'+m.drawn(WORD,33)),
    'discord': ('DISCORD_TOKEN={}', lambda m: 'MTA'+m.drawn(ALNUM,23)+'.'+m.drawn(WORD,6)+'.'+m.drawn(WORD,38)),
    'vault': ('{}', lambda m: 'hvs.'+m.drawn(WORD,90)),
    'sendgrid': ('{}', lambda m: 'SG.'+m.drawn(WORD,22)+'.'+m.drawn(WORD,43)),
    'mailgun': ('{}', lambda m: 'key-'+m.drawn(HEX,32)),
    'twilio': ('TWILIO_AUTH_TOKEN={}', lambda m: m.drawn(HEX,32)),
    'shopify': ('{}', lambda m: 'shpat_'+m.drawn(HEX,32)),
    'linear': ('{}', lambda m: 'lin_api_'+m.drawn(ALNUM,40)),
    'notion': ('{}', lambda m: 'ntn_'+m.drawn(ALNUM,46)),
    'figma': ('{}', lambda m: 'figd_'+m.drawn(WORD,40)),
    'grafana': ('{}', lambda m: 'glsa_'+m.drawn(ALNUM,32)+'_'+m.drawn(HEX,8)),
    'newrelic': ('{}', lambda m: 'NRAK-'+m.drawn(UPPER,27)),
    'sentry': ('{}', lambda m: 'sntrys_'+m.drawn(ALNUM,60)),
    'groq': ('{}', lambda m: 'gsk_'+m.drawn(ALNUM,52)),
    'xai': ('{}', lambda m: 'xai-'+m.drawn(ALNUM,80)),
    'pplx': ('{}', lambda m: 'pplx-'+m.drawn(ALNUM,48)),
    'replicate': ('{}', lambda m: 'r8_'+m.drawn(ALNUM,37)),
    'nvapi': ('{}', lambda m: 'nvapi-'+m.drawn(WORD,64)),
    'tailscale': ('{}', lambda m: 'tskey-auth-'+m.drawn(ALNUM,16)+'-'+m.drawn(ALNUM,32)),
    'jwt': ('{}', lambda m: 'eyJ'+m.drawn(WORD,33)+'.eyJ'+m.drawn(WORD,60)+'.'+m.drawn(WORD,43)),
    'mongo': ('mongodb+srv://app:{}@cluster0.ab1cd.mongodb.net/prod?retryWrites=true', lambda m: m.password()),
    'pg': ('postgres://svc:{}@10.0.3.7:5432/app', lambda m: m.password()),
    'mysql': ('mysql://root:{}@db/app', lambda m: m.password()),
    'amqp': ('amqp://guest2:{}@rabbit:5672/', lambda m: m.password()),
    'redis': ('redis://:{}@cache:6379/0', lambda m: m.drawn(ALNUM,18)),
    'mssql': ('Server=tcp:db.example.net,1433;Database=app;User ID=sa;Password={};Encrypt=true;', lambda m: m.password()),
    'odbc': ('Driver={{SQL Server}};Server=db;Uid=sa;Pwd={};', lambda m: m.password()),
    'jdbc': ('jdbc:postgresql://db/app?user=svc&password={}&ssl=true', lambda m: m.drawn(ALNUM,15)),
    'libpq': ("host=db port=5432 user=svc password={} dbname=app", lambda m: m.password()),
    'azstore': ('DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={};EndpointSuffix=core.windows.net', lambda m: m.drawn(BASE64,86)+'=='),
    'azsb': ('Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={}', lambda m: m.drawn(BASE64,43)+'='),
    'azsas': ('https://acme.blob.core.windows.net/c/f?sv=2022-11-02&se=2026-12-01&sr=b&sp=r&sig={}', lambda m: m.drawn(ALNUM,40)+'%3D'),
    'azsecret': ('client_secret={}', lambda m: m.drawn(ALNUM,3)+'8Q~'+m.drawn(ALNUM,34)),
    'bearer': ("curl -H 'Authorization: Bearer {}' https://api.example.com", lambda m: m.drawn(WORD,40)),
    'basic': ("Authorization: Basic {}", lambda m: base64.b64encode(('svc:'+m.password()).encode()).decode()),
    'tokenhdr': ("Authorization: Token {}", lambda m: m.drawn(HEX,40)),
    'xapikey': ("x-api-key: {}", lambda m: m.drawn(ALNUM,32)),
    'apikeyjson': ('{{"api_key": "{}"}}', lambda m: m.drawn(ALNUM,32)),
    'apiKey': ("const client = new Client({{ apiKey: '{}' }})", lambda m: m.drawn(ALNUM,32)),
    'clientsecret': ('"clientSecret": "{}"', lambda m: m.drawn(WORD,32)),
    'refresh': ('"refresh_token": "{}"', lambda m: '1//0'+m.drawn(WORD,60)),
    'cookie': ('Set-Cookie: session={}; Path=/; HttpOnly', lambda m: m.drawn(ALNUM,40)),
    'cookie2': ('Cookie: theme=dark; sessionid={}', lambda m: m.drawn(ALNUM,32)),
    'jsessionid': ('Set-Cookie: JSESSIONID={}; Path=/', lambda m: m.drawn(UPPER,32)),
    'curlu': ("curl -u admin:{} https://api.example.com", lambda m: m.password()),
    'flag': ("deploy --password {} --force", lambda m: m.password()),
    'flag2': ("deploy --token={}", lambda m: m.drawn(ALNUM,30)),
    'mysqlp': ("mysql -u root -p{} -h db", lambda m: m.drawn(ALNUM,12)+'!'),
    'pgpassword': ("PGPASSWORD={} psql -h db", lambda m: m.password()),
    'django': ("SECRET_KEY = '{}'", lambda m: 'django-insecure-'+m.drawn(ALNUM,40)),
    'yamlpw': ("password: {}", lambda m: m.password()),
    'k8s': ("apiVersion: v1\nkind: Secret\ndata:\n  password: {}", lambda m: base64.b64encode(m.password().encode()).decode()),
    'tfvars': ('db_password = "{}"', lambda m: m.password()),
    'ini': ('smtp_password={}', lambda m: m.password()),
    'encryption': ('ENCRYPTION_KEY={}', lambda m: m.drawn(BASE64,43)+'='),
    'netrc': ('machine api.example.com login bob password {}', lambda m: m.drawn(ALNUM,16)),
    'gitcred': ('https://bot:{}@github.com/acme/app.git', lambda m: m.drawn(ALNUM,20)),
    'giturltoken': ('https://{}@github.com/acme/app.git', lambda m: 'ghp_'+m.drawn(ALNUM,36)),
    'langfuse': ('{}', lambda m: 'sk-lf-'+m.drawn(HEX,8)+'-'+m.drawn(HEX,4)+'-4'+m.drawn(HEX,3)+'-a'+m.drawn(HEX,3)+'-'+m.drawn(HEX,12)),
    'supabase': ('{}', lambda m: 'sbp_'+m.drawn(HEX,40)),
    'atlassian': ('{}', lambda m: 'ATATT3xFfGF0'+m.drawn(WORD,170)+'='+m.drawn(UPPER,8)),
    'pscale': ('{}', lambda m: 'pscale_tkn_'+m.drawn(WORD,43)),
    'postman': ('{}', lambda m: 'PMAK-'+m.drawn(HEX,24)+'-'+m.drawn(HEX,34)),
    'prosepw': ("The password is {}, please do not share.", lambda m: m.password()),
}  # fmt: skip
CONTEXTS: dict[str, Callable[[Maker, str], str]] = {
    "plain": lambda _, text: f"Then I ran it and got this back:\n{text}\nthat is all.",
    "nested": lambda _, text: json.dumps({"result": {"items": [{"id": 7, "config": {"note": text, "enabled": True}}]}}),
    "double": lambda _, text: json.dumps({"stdout": json.dumps({"env": {"line": text}}), "exit": 0}),
    "triple": lambda _, text: json.dumps({"a": json.dumps({"stdout": json.dumps({"line": text}), "exit": 0})}),
    "markdown": lambda _, text: f"Use `{text}` in the header, see **setup**.",
    "error": lambda _, text: f"Error: status 401\n    config: {{ headers: {{ 'x': '{json.dumps(text)[1:-1]}' }} }}\n",
    "ansi": lambda _, text: f"\x1b[32m✔\x1b[0m logged in with \x1b[1m{text}\x1b[0m as deploy",
    "escaped ansi": lambda _, text: json.dumps(f"\x1b[32m✔\x1b[0m logged in with \x1b[1m{text}\x1b[0m as deploy"),
    "cjk": lambda _, text: f"使用令牌{text}访问接口，然后重试。",  # noqa: RUF001
    "environment": lambda _, text: f"PATH=/usr/bin:/bin\nHOME=/root\nAPP_LINE={text}\nLANG=C.UTF-8\nSHLVL=1\n",
    "after an escaped newline": lambda _, text: json.dumps({"out": f"line\n{text}\nnext"}),
    "after an escaped tab": lambda _, text: json.dumps({"out": f"line\t{text}\tnext"}),
    "unicode escapes": lambda maker, text: f'{{"text":"{maker.escaped(text)}"}}',
    "quoted": lambda _, text: f'He said "{text}" and left',
    "bracketed": lambda _, text: f"(see {text})",
}


def planted(seed: int) -> Iterator[tuple[str, str, str, str]]:
    """Yields (kind, context, text, the secret in it), each kind in each context."""
    maker = Maker(seed)
    for kind, (form, make) in KINDS.items():
        for context, around in CONTEXTS.items():
            secret = make(maker)
            said = secret.replace("\n", "\\n") if kind == "gcpsa" else secret
            yield kind, context, around(maker, form.format(said)), secret
