"""What a secret looks like: by its key, by the program that it is given to, by what it stands in, or by itself.

Nothing is hidden here: `secrets.Vault` goes through these tables, and what it takes out is a pattern's group `secret` or `more`, or one of `_QUOTED`
or `_TRIPLE`.
"""

from __future__ import annotations

import re

from k8sdoctor.patterns import regex

# What a value is called that is a secret: the end of a key, behind a dash, dot, underscore, digit or nothing, or a capitalised word within one.
# `token` alone counts, while `token-auth-file`, `tokenTTL` or `secretName` do not.
_KEYS = (
    r"secret|token|bearer[-_]?token|auth|identity[-_]?token|registry[-_]?token|access[-_]?key|secret[-_]?(?:access[-_]?)?key|"
    r"secret[-_]?key[-_]?base|api[-_]?key|client[-_]key[-_]data|certificate[-_]?key|encryption[-_]?key|private[-_]?key|signing[-_]?key|"
    r"shared[-_]?key|pre[-_]?shared[-_]?key|account[-_]?key|storage[-_]?key|master[-_]?key|gossip[-_]?key|luks\.key|psk|"
    r"id[-_]token|refresh[-_]token|access[-_]token|client[-_]secret|credentials?|bindpw|community|(?<=[_-])(?:pass|pwd)|"
    r"(?:(?<=[?&;])|(?<=u0026))(?:X-[a-z]+-)?sig(?:nature)?"
)
_CAPITAL = (
    r"Secret|Token|Auth|Pass|Pwd|Psk|PSK|(?:Access|Secret|Private|Signing|Shared|PreShared|Account|Storage|Master|Encryption|Api|API)Key|"
    r"Credentials?"
)
_KEY = rf"(?:(?<![A-Za-z])(?i:{_KEYS})|(?i:password(?:_in)?|passwd|passphrase)|(?<=[a-z0-9])(?:{_CAPITAL}))"

# A flag whose value is secret; `--token-auth-file` names a file, and `--discovery-token-ca-cert-hash` a public key.
FLAG = r"--(?:[a-z0-9-]*-)?(?:token|pass|password|passphrase|secret|api-?key|auth-?key|certificate-key|requirepass|masterauth)"
_LOGIN = r"--(?:proxy-)?user|-u|--(?:[a-z]+-)?creds"  # curl's, etcdctl's, skopeo's: a name, a colon, and a password

# A value in quotes (escaped as JSON does it within JSON), whether or not the text goes on to the second one.
_QUOTED = (
    r"""(?P<q>\\+["'])(?P<e>(?:[^\\"\n]|(?!(?P=q))(?>\\+)[^\n])+)|"""
    r""""(?P<d>(?:\\.|[^"\\\n])+)|'(?P<s>(?:''|[^'\n])+)"""
)
_IS = r"""\\*["']?[ \t]*[:=][ \t]*"""
# In /proc/<pid>/environ a NUL ends a value.
_START = r"(?:^|(?<=\x00))[ \t]*(?:-[ \t]+)?(?:export[ \t]+)?(?!--)[\"']?[\w./-]*?"
# Behind the name of a program, up to the end of its command, which a shell, a list of YAML's or JSON's, or /proc/<pid>/cmdline may hold.
_WORDS = r"""(?=\\*["'\s\x00])(?:[^\n|;&]|\n[ \t]*(?:-[ \t]|["'])){0,200}?(?<=["'\s\x00])"""
_NEXT = r"""(?:[ \t]+|\x00|\\*["'],?\s*|\n[ \t]*-[ \t]+)\\*["']?"""
_BEHIND = r"""(?:=|[ \t]+|["'],[ \t]*|\n[ \t]*-[ \t]+)"""  # a flag, in a shell, in a list of JSON's or YAML's
_WORD = r"""(?P<secret>[^\s"'\\,;|&\x00-][^\s"'\\,;|&\x00]*)"""
_KIND = r"""\bkind\\*["']?[ \t]*:[ \t]*\\*["']?Secret(?:List)?\b"""

# A row of the tables below is a word, a piece or None, and a pattern. Word and piece are in every text that the pattern matches, in lower case, and are
# found ten times faster: without them a run would spend a tenth of its time on looking for secrets where none are, and on compiling what matches nothing.

KEY_HINTS = (
    "secret",
    "token",
    "auth",
    "pass",
    "pwd",
    "credential",
    "key",
    "psk",
    "community",
    "cookie",
    "bindpw",
    "encrypt",
    "sig",
)
"""One of these is in every text that a pattern with `_KEY` could match."""

_END = (
    r"(?:secret|token|auth|key(?:[-_]?base|[-_]data)?|psk|credentials?|bindpw|community|pass(?:word(?:_in)?|wd|phrase)?|pwd|"
    r"sig(?:nature)?|encrypt)"
)
"""How every key ends that `_KEY` knows."""

# Pieces: each begins with what is rare, and none looks at a letter more than a few times, however often it repeats.
KEYED = regex(rf"""{_END}(?:\\*["']?[ \t]*[:=]|[ \t])""")
_COLON = regex(rf"""{_END}\\*["']?[ \t]*:""")
_EQUALS = regex(rf"""{_END}\\*["']?[ \t]*=""")
_BLOCK = regex(r":[ \t]*[&!|>]")
_BELOW = regex(r"(?m):[ \t]*\r?\n[ \t]+(?!-[ \t])[^\s:\#{\[\"'][^\s:]*[ \t]*\r?$")
_NAMED = regex(rf"""{_END}\\*["']?\s*+,?\s*+\\*["']?value""")
_NAMED_BEHIND = regex(r"""["']\s*,\s*\\*["']name""")
_DIRECTIVE = regex(r"(?:password|passwd|passphrase|secret|_pass|requirepass|masterauth)[ \t]")
_SCHEME = regex(r":\\*/\\*/")

PEM_KEYS = (
    # PEM private keys of every kind, also where newlines are written as \n; of the end of a log, the first lines may be missing.
    regex(
        r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----(?P<secret>.*?)(?:-----END (?P=kind)-----|\Z)",
        re.DOTALL,
    ),
    regex(r"\A(?P<secret>[A-Za-z0-9+/=\s]+)-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"),
)
# A key in quotes of which letters are written as YAML and JSON escape them.
ESCAPE = r"\\+(?:u00|U000000|x)(?P<code>[2-7][0-9A-Fa-f])"
ESCAPED_KEY = regex(rf"""(?<!\\)(?P<q>\\*+")(?P<key>[\w./-]*(?:{ESCAPE}[\w./-]*)+)(?P=q)""")
_TRIPLE = regex(rf"(?s){_KEY}{_IS}(?:\"\"\"(?P<t>.+?)(?:\"\"\"|\Z)|\'\'\'(?P<u>.+?)(?:\'\'\'|\Z))")
LONG = (
    # Headers whose every value may be one: HTTP's own, and those that containerd's hosts.toml and Docker's config.json add.
    (
        "authorization",
        regex(r"""authorization\\*["']?[ \t]*[:=]"""),
        regex(
            r"""(?i)\b(?:proxy-)?authorization\\*["']?[ \t]*[:=][ \t]*(?:\[\s*)?\\*["']?(?:(?:bearer|basic|token|negotiate)[ \t]+(?P<secret>[^\s"'\\]+)|"""
            r"""(?P<e>(?:digest|aws4-hmac-sha256)[ \t]+[^\n]+)|(?!(?:bearer|basic|token|negotiate)\b)(?P<more>[^\s"'\\\[][^"'\\\n]*))"""
        ),
    ),
    (
        "cookie",
        regex(r"""cookie\\*["']?[ \t]*[:=]"""),
        regex(r"""(?i)\b(?:set-)?cookie\\*["']?[ \t]*[:=][ \t]*\\*["']?(?P<secret>[^\s"'\\][^"'\\\n]*)"""),
    ),
    # YAML's blocks, and a value on the line below its key; a table there has a colon, a list a dash.
    (
        ":",
        _BLOCK,
        regex(
            rf"(?m)^(?P<i>[ \t]*)(?:-[ \t]+)?[\"']?[\w.-]*?{_KEY}[\"']?:[ \t]*(?:[&!]\S+[ \t]+)*[|>][-+0-9]*[ \t]*(?:\#[^\n]*)?\r?\n"
            r"(?P=i)[ \t]+(?P<secret>\S[^\r\n]*(?:\r?\n(?:(?P=i)[ \t]+\S[^\r\n]*|[ \t]*(?=\r?\n)))*)"
        ),
    ),
    (
        ":",
        _BELOW,
        regex(
            rf"(?m)^(?P<i>[ \t]*)(?:-[ \t]+)?[\"']?[\w.-]*?{_KEY}[\"']?:[ \t]*\r?\n(?P=i)[ \t]+(?P<secret>(?!-[ \t])[^\s:\#{{\[\"'][^\s:]*)[ \t]*\r?$"
        ),
    ),
    (
        "?",
        regex(r"\?[ \t]"),
        regex(
            rf"(?m)^[ \t]*\?[ \t]+[\"']?[\w.-]*?{_KEY}[\"']?[ \t]*\r?\n[ \t]*:[ \t]+[\"']?(?P<secret>[^\s\"'][^\r\n\"']*)"
        ),
    ),
    ('"""', None, _TRIPLE),
    ("'''", None, _TRIPLE),
    # A variable of a container: name and value are two keys.
    (
        "value",
        _NAMED,
        regex(
            rf"""\bname{_IS}\\*["']?[\w.-]*?{_KEY}\\*["']?\s*,?\s*\\*["']?value{_IS}(?:{_QUOTED}|(?P<secret>[^\s"'\\][^\n]*))"""
        ),
    ),
    (
        "value",
        _NAMED_BEHIND,
        regex(rf"""\bvalue{_IS}(?:{_QUOTED})\\*["']\s*,\s*\\*["']name{_IS}\\*["'][\w.-]*?{_KEY}\\*["']"""),
    ),
    ("--", None, regex(rf"""{FLAG}{_BEHIND}["']?(?P<secret>[^\s"',-][^\s"',]*)""")),
)
"""These are looked for in a whole text, since they go over lines."""

TO_THE_END = (
    # A value that goes on to the line's end: in YAML, in ini and environment files.
    (
        ":",
        _COLON,
        regex(
            rf"(?m){_START}{_KEY}[\"']?[ \t]*:[ \t]+(?:[&!]\S+[ \t]+)*(?P<secret>[^\s\"'\[{{|>&!\#\x00][^\n\x00]*?)(?=[ \t]*(?:[ \t]\#[^\n\x00]*)?\r?(?:$|\x00))"
        ),
    ),
    # In files of directives, such as those of nginx, keepalived, redis, FRR and netrc, a blank is between the two.
    (
        "",
        _DIRECTIVE,
        regex(
            rf"^[ \t]*(?:(?:user|username|neighbor|peer|machine|login)[ \t]+\S+[ \t]+(?:login[ \t]+\S+[ \t]+)?(?:insecure-)?)?"
            rf"(?:[a-z-]*password|passwd|passphrase|secret|[a-z]+_pass|requirepass|masterauth)[ \t]+(?:[057][ \t]+)?(?:{_QUOTED}|(?P<secret>[^\s\"'=:{{;][^\s;]*))[\"']?[ \t]*;?[ \t]*\r?$"
        ),
    ),
    (
        "header",
        None,
        regex(
            rf"(?i)\b(?:proxy_set_header|set-header|add-header)[ \t]+[\w-]*?{_KEY}[ \t]+(?:{_QUOTED}|(?P<secret>[^\s\"'$%][^\s;]*))"
        ),
    ),
    # GRUB's; PAM's lines of this name have a control in the second place.
    (
        "password",
        regex(r"password[ \t]"),
        regex(
            r"^[ \t]*password[ \t]+(?!required|requisite|sufficient|optional|include|substack|\[)[\w.-]+[ \t]+(?P<secret>\S+)[ \t]*$"
        ),
    ),
    (
        "=",
        _EQUALS,
        regex(
            rf"(?m){_START}{_KEY}[ \t]*=[ \t]*(?P<secret>(?!\{{[^\n]*=|\[[ \t]*[\"'\n])[^\s\"'\x00][^\n\r\x00]*?)(?=[ \t]*\r?(?:$|\x00))"
        ),
    ),
)
"""These are looked for in lines that have a key, for each costs a second or so for a million lines."""

SHORT = (
    # Anywhere else.
    (
        "",
        regex(rf"""{_END}{_IS}\[?[ \t]*[&!\\"']"""),
        regex(rf"{_KEY}{_IS}\[?[ \t]*(?:[&!]\S+[ \t]+)*(?:{_QUOTED})"),
    ),
    (
        ":",
        _COLON,
        regex(
            rf"{_KEY}[\"']?[ \t]*:[ \t]*\[?[ \t]*(?:[&!]\S+[ \t]+)*(?P<secret>[^\s\x00\"'\\\#\[{{,}}\]][^\s\x00\"',}}\]]*)"
        ),
    ),
    (
        "=",
        _EQUALS,
        regex(rf"{_KEY}[\"']?[ \t]*=[ \t]*\[?[ \t]*(?P<secret>[^\s\x00\"'\\\[{{&;][^\s\x00\"&;\]}}]*)"),
    ),
    # 32 random bytes or more in base64, behind a key that says no more than that.
    (
        "=",
        regex(r"[a-z0-9+/]{38}="),
        regex(r"(?i)\b(?:key|encrypt)\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?(?P<secret>[A-Za-z0-9+/]{38,}={1,2})"),
    ),
    # What Consul and Nomad encrypt their gossip with: 16, 24 or 32 bytes (Consul's documentation of `encrypt`).
    (
        "encrypt",
        None,
        regex(
            r"\bencrypt(?:\\*[\"']?[ \t]*[:=]|[ \t])[ \t]*\\*[\"']?(?P<secret>(?:[A-Za-z0-9+/]{22}==|[A-Za-z0-9+/]{32}|[A-Za-z0-9+/]{43}=)(?![\w+/=]))"
        ),
    ),
)
"""As these."""

URLS = (
    # Users in URLs. A password may hold what should have been quoted; the last @ before the host's end is what divides.
    (
        ":",
        _SCHEME,
        regex(
            r"(?i)\b[a-z][a-z0-9+.-]{0,20}:(?:\\*/){2}[^\s/@:\"'\x00]*:(?!\d+[/?\#])(?P<secret>(?:(?!://)[^\s\"'\x00\\])+)@(?=[^\s\"'@,\x00]*(?:[\s\"',\x00]|\\|\Z))"
        ),
    ),
    (
        ":",
        _SCHEME,
        regex(r"(?i)\b[a-z][a-z0-9+.-]{0,20}:(?:\\*/){2}[^\s/@:\"']*:(?P<secret>[^\s/@\"']+)@"),
    ),
    (
        ":",
        _SCHEME,
        regex(r"(?i)\b[a-z][a-z0-9+.-]{0,20}:(?:\\*/){2}(?P<secret>[^\s/@:\"'\x00\\]{16,})@"),
    ),
    (
        ":",
        regex(r"@(?:(?:tcp|udp|unix)\(|[\w.-]+:\d)"),
        regex(r"(?<![\w@./-])(?://)?[\w.-]+:(?P<secret>[^\s:@/\"',\\]{4,})@(?:(?:tcp|udp|unix)\(|[\w.-]+:\d)"),
    ),
    # What is a URL is above, and what is of it stays one; of what only would be one, all is hidden that may be the password.
    (
        "proxy",
        None,
        regex(
            r"(?i)proxy\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?(?:(?:https?)?//)?[^\s/:@\"'\\]+:(?!//[^\s/:@]*(?::REDACTED-\d+)?@)(?P<secret>[^\s@\"'\\]+)@"
        ),
    ),
)
# Programs that take a password behind a flag of one letter, which others have another use for.
PROGRAMS = tuple(
    (word, regex(piece) if piece else None, regex(rf"(?<![\w.-])(?:{programs})(?![\w.-]){_WORDS}{flag}{_WORD}"))
    for word, piece, programs, flag in (
        ("mysql", None, r"mysql(?:admin|check|dump|import|pump|sh|show|slap)?", "-p"),
        ("mariadb", None, r"mariadb(?:-[a-z]+)?", "-p"),
        ("sshpass", None, "sshpass", rf"-p(?:{_NEXT})?"),
        ("mongo", None, r"mongo(?:sh|dump|restore|export|import|stat)?", rf"-p(?:{_NEXT})?"),
        (
            "login",
            None,
            r"(?:docker|podman|nerdctl|buildah|skopeo|helm|oras|crane)(?:\\*[\"',\s\x00-]+)(?:registry[\"',\s\x00-]+)?login",
            rf"-p(?:{_NEXT})?",
        ),
        ("-cli", "(?:redis|valkey|keydb)-cli", r"(?:redis|valkey|keydb)-cli", rf"-a{_NEXT}"),
        ("ldap", None, r"ldap[a-z]+", rf"-w{_NEXT}"),
        ("ipmitool", None, "ipmitool", rf"-P{_NEXT}"),
        ("mosquitto_", None, r"mosquitto_[a-z]+", rf"-P{_NEXT}"),
    )
)
_LOGINS = regex(rf"""(?<![\w-])(?:{_LOGIN}){_BEHIND}["']?[\w.@-]+:(?P<secret>(?!\d+(?::|\b))[^\s"',]+)""")
# PuTTY's keys, which are base64 without a frame.
PUTTY = regex(r"Private-Lines:[ \t]*\d+[ \t]*\r?\n(?P<secret>(?:[A-Za-z0-9+/=]+[ \t]*(?:\r?\n|\Z))+)")
_LAST = r"""(?=[ \t]*(?:\#[^\n]*)?\r?(?:$|["'\\]))"""  # nothing but a comment comes behind it
_TO_A_QUOTE = r"""[^\s"'\\\x00]|["'](?![\s,;|>)\]}:]|\\[nrt"]|\Z)"""  # a quote within it ends no word
# What is a secret by what stands before it: HTTP's credentials, k3s' tokens, hashed passwords, passwords of single programs.
SHAPES = (
    ("bearer", None, regex(r"(?i)\bbearer[ \t]+(?P<secret>[A-Za-z0-9+/=._~-]{8,})")),
    ("basic", None, regex(r"(?i)\bbasic[ \t]+(?P<secret>[A-Za-z0-9+/=._~-]{8,})")),
    ("k10", None, regex(r"\bK10[0-9a-f]{64}::(?:[\w-]+:)?(?P<secret>[^\s\"'\\]+)")),
    ("$", None, regex(r"(?P<secret>\$(?:apr1|[1256]|2[abxy]|y|gy)\$[./0-9A-Za-z$]{8,})")),
    ("-u", regex(rf"-u(?:ser)?{_BEHIND}"), _LOGINS),
    ("creds", regex(rf"creds{_BEHIND}"), _LOGINS),
    ("login", regex(r"login[ \t]"), regex(r"\blogin[ \t]+\S+[ \t]+password[ \t]+(?P<secret>\S+)")),  # netrc(5)
    ("bindpw", None, regex(r"(?m)^[ \t]*bindpw[ \t]+(?P<secret>\S+)")),
    ("stats", regex(r"stats[ \t]"), regex(r"\bstats[ \t]+auth[ \t]+[^\s:]+:(?P<secret>\S+)")),  # HAProxy
    (
        "--auth",
        regex(r"--auth[= \t]"),
        regex(r"(?<!\w)--auth(?:=|[ \t]+)(?P<secret>[A-Za-z0-9+/]{16,}={0,2})"),
    ),  # crictl
    ("pass:", None, regex(r"-pass(?:in|out)?[ \t]+pass:(?P<secret>\S+)")),  # OpenSSL
    ("smbclient", None, regex(r"\bsmbclient\b[^\n]*?-U[ \t]*[^\s%]+%(?P<secret>\S+)")),
    ("setcookie", None, regex(r"-setcookie[ \t]+(?P<secret>\S+)")),  # Erlang
    # IPsec: ipsec.secrets(5), what setkey(8) is given and `ip xfrm` prints.
    *(
        (
            kind.lower(),
            regex(rf":[ \t]+{kind.lower()}[ \t]"),
            regex(rf"(?m)(?:^|[ \t]):[ \t]+{kind}[ \t]+(?:{_QUOTED}|(?P<secret>[^\s\"']+))"),
        )
        for kind in ("PSK", "EAP", "XAUTH", "NTLM")
    ),
    ("exponent", None, regex(r"\b(?:Private)?Exponent[12]?:[ \t]*(?P<secret>0[xs]\w{16,})")),
    ("prime", None, regex(r"\bPrime[12]:[ \t]*(?P<secret>0[xs]\w{16,})")),
    ("coefficient", None, regex(r"\bCoefficient:[ \t]*(?P<secret>0[xs]\w{16,})")),
    (
        "0x",
        regex(r"0x[0-9a-f]{32}"),
        regex(r"(?<![\w-])(?:enc|auth|auth-trunc|aead|-[EA])[ \t]+\S+[ \t]+(?P<secret>0x[0-9A-Fa-f]{32,})"),
    ),
    ("certificate key", None, regex(r"certificate key:\s+(?P<secret>[0-9a-f]{64})\b")),  # kubeadm init --upload-certs
    # The tokens of Telegram's bots (core.telegram.org/bots/api), which tell by themselves as well.
    ("telegram", None, regex(r"\bapi\.telegram\.org\\*/(?:file\\*/)?bot(?P<secret>\d+:[\w-]+)")),
    (":aa", regex(r":aa[\w-]{33}"), regex(r"(?<![\w.:-])(?P<secret>\d{8,10}:AA[\w-]{33})(?![\w-])")),
    # Keys of chronyd and ntpd: a number, a kind, and what may be a word, HEX:… or ASCII:… (chrony.conf(5), `keyfile`; ntp.keys(5)).
    *(
        (
            kind.lower(),
            regex(rf"\d[ \t]+{kind.lower()}"),
            regex(
                rf"(?m)(?:^|(?<=\\n)|(?<=[\"']))[ \t]*\d+[ \t]+{kind}{size}[ \t]+(?P<secret>[^\s\"'\\]{{4,}}){_LAST}"
            ),
        )
        for kind, size in (("MD5", ""), ("SHA", r"(?:1|224|256|384|512|3-\d{3})?"), ("AES", r"(?:128|256)?(?:CMAC)?"))
    ),
    # A line of racoon's psk.txt with a key of hexadecimal digits (racoon.conf(5), "Pre-shared key File").
    (
        "0x",
        regex(r"0x[0-9a-f]{16}"),
        regex(
            rf"(?m)^[ \t]*(?:[0-9.]{{7,}}|[0-9a-f:]{{3,}}|[\w.-]+@[\w.-]+)[ \t]+(?P<secret>0x[0-9A-Fa-f]{{16,}}){_LAST}"
        ),
    ),
    # A line of a .pgpass: five places, and in the second PostgreSQL's own port or `*` (postgresql.org "The Password File"). Lines of passwd(5) and
    # shadow(5) have a number in the third place.
    *(
        (
            f":{port}:",
            None,
            regex(
                rf"(?<![\w.:*/-])(?!arn:|urn:)(?:[\w.*/-]|\\{{1,4}}:)+:{re.escape(port)}:(?!\d+:)[\w.*-]+:[\w.*@-]+:(?P<secret>(?:{_TO_A_QUOTE}|\\{{1,4}}[\\:])+)"
            ),
        )
        for port in ("5432", "*")
    ),
)
# What tells by itself that it is a secret: JSON Web Tokens, the tokens and URLs of some services, and kubeadm's tokens.
TOKENS = (
    ("eyj", None, regex(r"\b(?P<secret>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)")),
    ("grub.pbkdf2.", None, regex(r"grub\.pbkdf2\.[a-z0-9]+\.\d+\.(?P<secret>[\w.]+)")),
    # `{"auths":` in base64, as in a Secret of the kind dockerconfigjson, however many blanks were behind the brace.
    ("eyjhdxrocyi", None, regex(r"\b(?P<secret>eyJhdXRocyI[A-Za-z0-9+/]{8,}={0,2})")),
    ("eyaiyxv0ahmi", None, regex(r"\b(?P<secret>eyAiYXV0aHMi[A-Za-z0-9+/]{8,}={0,2})")),
    (
        "ewo",
        None,
        regex(r"\b(?P<secret>ewo(?:JImF1dGhzI|gICJhdXRocyI|gICAgImF1dGhzI)[A-Za-z0-9+/]{8,}={0,2})"),
    ),
    (
        "gh",
        regex(r"gh[opsru]_|github_pat_"),
        regex(r"\b(?P<secret>gh[opsru]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"),
    ),
    ("glpat-", None, regex(r"\b(?P<secret>glpat-[\w-]{16,})")),
    ("xox", None, regex(r"\b(?P<secret>xox[abeoprs]-[\w-]{10,})")),
    ("aiza", None, regex(r"\b(?P<secret>AIza[\w-]{35})")),
    ("hvs.", None, regex(r"\b(?P<secret>hvs\.[\w-]{20,})")),
    # URLs by which everybody may write who has them: Slack's incoming webhooks and workflows (api.slack.com/messaging/webhooks), and Discord's.
    (
        "hooks.slack",
        None,
        regex(r"\bhooks\.slack(?:-gov)?\.com\\*/(?:services|workflows|triggers)\\*/(?P<secret>(?:[\w-]|\\*/){12,})"),
    ),
    (
        "webhooks",
        None,
        regex(r"\bdiscord(?:app)?\.com\\*/api\\*/(?:v\d+\\*/)?webhooks\\*/\d+\\*/(?P<secret>[\w-]{16,})"),
    ),
    (".", regex(r"\.[a-z0-9]{16}"), regex(r"(?<![\w.])(?P<secret>[a-z0-9]{6}\.[a-z0-9]{16})(?![\w.])")),
)
LEAST_TOKEN = 15
"""Letters of the shortest of these."""

NAME = regex(r"[A-Za-z0-9_./-]*")
"""A word, a number, a path: nothing is in it that could stand between a key and its value, so that it may only be a token."""

# What chpasswd(8) is given: each line a name, a colon, and a password; also by cloud-init's module of that name (cc_set_passwords).
_TO_CHPASSWD = r"\|[ \t]*(?:sudo[ \t]+(?:-\S+[ \t]+)*)?[\w/]*\bchpasswd\b"
_ARGUMENTS = r"""(?:\\++|"[^"]*"|'[^']*'|[^\n|;&"'\\])*+"""
_HERE = r"<<-?[ \t]*\\*[\"']?(?P<end>\w+)\\*[\"']?"
ACCOUNT_WORDS = (
    regex(rf"\b(?:echo|printf)\b(?:(?P<block>{_ARGUMENTS}){_TO_CHPASSWD}|{_ARGUMENTS})"),
    regex(r"\bchpasswd\b[^\n<|;&]{0,80}<<<(?P<block>[^\n|;&]*)"),
    regex(r"\bchpasswd\\*[\"']?[ \t]*:\s*\{(?P<block>[^}]*)"),
)
ACCOUNT_WORD = regex(rf"(?<![\w.:/-])[A-Za-z_][\w.-]*:(?![%\s])(?P<secret>(?:{_TO_A_QUOTE}|[ \t]+(?![-|]))+)")
ACCOUNT_LINES = (
    regex(rf"(?s)\bchpasswd\b[^\n<|;&]{{0,80}}{_HERE}(?P<block>.*?)(?:(?<![\w.-])(?P=end)\b|\Z)"),
    regex(rf"(?s){_HERE}[ \t]*{_TO_CHPASSWD}(?P<block>.*?)(?:(?<![\w.-])(?P=end)\b|\Z)"),
    regex(r"(?m)^(?P<i>[ \t]*)(?:-[ \t]+)?chpasswd:[ \t]*\r?\n(?P<block>(?:(?P=i)[ \t]+\S[^\n]*(?:\n|\Z)|[ \t]*\n)+)"),
)
ACCOUNT_LINE = regex(
    r"(?m)(?:^|(?<=\\n))[ \t]*(?:-[ \t]+)?[\"']?[A-Za-z_][\w.-]*:(?P<secret>[^\s\\](?:[^\n\r\\]|\\(?![nr]))*?)(?=[\"']?[ \t]*\r?(?:$|\\[nr]))"
)
# Objects of the kind Secret: every value of `data` and `stringData`.
SECRET_OBJECT = regex(_KIND)
DOCUMENTS = regex(r"(?m)^---")
SECRET_LINES = regex(
    r"(?m)^(?P<i>[ \t]*)(?:-[ \t]+)?(?:data|stringData):[ \t]*\r?\n(?P<block>(?:(?P=i)[ \t]+\S[^\n]*(?:\n|\Z)|[ \t]*\n)+)"
)
SECRET_LINE = regex(
    r"(?m)^(?P<key>[ \t]+[^\s:][^:\n]*:[ \t]+)(?![|>][-+0-9]*[ \t]*$)(?P<secret>\S[^\n]*)|^(?P<fold>[ \t]+)(?P<more>[^\s:]+)[ \t]*$"
)
SECRET_FLOW = regex(r"""\b(?:data|stringData)\\*["']?[ \t]*:[ \t\n]*\{(?P<block>[^{}]*)\}""")
FLOW_VALUE = regex(r"""(?P<key>:[ \t\n]*)(?P<quote>\\*["']?)(?P<secret>[^\s"'\\,{}][^"'\\,{}\n]*)""")
# Tables of headers that a registry is sent: containerd's, which end at the next table, and Docker's.
HEADERS = (
    (
        ".header]",
        None,
        regex(r"(?m)^[ \t]*\[[^\n]*\.header\][ \t]*\n(?P<block>(?:(?![ \t]*\[[\w\"'])[^\n]*(?:\n|\Z))*)"),
    ),
    (
        "authorization",
        regex(r"""authorization["']?[ \t]*[=:][ \t]*\["""),
        regex(r"(?i)\bauthorization[\"']?[ \t]*[=:][ \t]*\[(?P<block>[^\]]*)\]"),
    ),
    ("httpheaders", None, regex(r"\"HttpHeaders\"[ \t\n]*:[ \t\n]*\{(?P<block>[^{}]*)\}")),
)
HEADER_VALUE = regex(
    r"""(?<=[:=\[,\n \t])(?P<quote>["'])(?P<secret>(?:\\.|(?!(?P=quote))[^\\\n])+)(?P=quote)(?![ \t]*[:=])"""
)
# "-----BEGIN" in base64, as in kubeconfigs, with what follows: a value may be folded over lines, which YAML writes in many ways.
FOLD = r"(?:\\[rn]|[\s\\])"
BASE64_PEM = regex(rf"LS0tLS1CRUdJTi[A-Za-z0-9+/]*+={{0,2}}(?:{FOLD}+[A-Za-z0-9+/]++={{0,2}}(?=[\s\"'\\]|\Z))*")
SECRET_KEY = regex(rf"[\w./-]*?{_KEY}|(?i:(?:proxy-)?authorization|(?:set-)?cookie)")
