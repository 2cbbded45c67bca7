"""Every kind of secret in every form that it is written in on a node, with words in it by which it is found again."""

from __future__ import annotations

import base64
import json
import re
import textwrap

SECRET = "c4n4ryS3cretQ9xZ"
ENCODED = base64.b64encode(b"c4n4ry-secret-0123456789abcdef!!").decode()
BOOTSTRAP = "abcdea.0123456789abcd9f"
HEX = "0123456789abcd9f" * 2
SHORT = base64.b64encode(b"c4n4ry-secret-01").decode()
"""16 bytes."""

FORMS: dict[str, str] = {
    "kubeconfig block token": f"users:\n- name: a\n  user:\n    token: {SECRET}\n",
    "kubeconfig token next line": f"    token:\n      {SECRET}\n",
    "kubeconfig token folded >": f"    token: >-\n      {SECRET}\n    x: y\n",
    "kubeconfig token |": f"    token: |\n      {SECRET}\n",
    "flow yaml": f"user: {{token: {SECRET}, name: x}}",
    "flow yaml quoted": f"user: {{'token': '{SECRET}', name: x}}",
    "json pretty": f'{{"user": {{"token" : "{SECRET}"}}}}',
    "password basic": f"    username: admin\n    password: {SECRET}\n",
    "password quoted with escapes": f'    password: "a\\"{SECRET}"\n',
    "password with spaces": f"password: {SECRET} and {SECRET}2\n",
    "password starting special": f"password: '#{SECRET}'\npassword: \"{{{SECRET}\"\n",
    "unquoted with leading #?": f"password=#{SECRET}\n",
    "unquoted with [": f"PASSWORD=[{SECRET}\n",
    "unquoted with comma": f"PASSWORD=ab,{SECRET}\n",
    "env with quote in middle": f"PASSWORD=ab'{SECRET}\n",
    "unit Environment": f'Environment="REGISTRY_PASSWORD={SECRET}"',
    "unit Environment no quotes": f"Environment=DB_PASSWORD={SECRET} OTHER=x",
    "unit Environment two": f'Environment="A=b" "API_TOKEN={SECRET}"',
    "unit env PASS": f'Environment="DB_PASS={SECRET}"',
    "env PWD-like": f"MYSQL_PWD={SECRET}",
    "env KEY": f"AZURE_CLIENT_SECRET={SECRET}\nAZURE_STORAGE_KEY={SECRET}\nAZURE_STORAGE_ACCOUNT_KEY={SECRET}",
    "env conn string": f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={ENCODED};EndpointSuffix=core.windows.net",
    "env SAS": f"https://x.blob.core.windows.net/c?sv=2020&sig={SECRET}%3D&se=2020",
    "url query token": f"https://x.example/api?access_token={SECRET}&b=c",
    "url query token2": f"https://x.example/api?token={SECRET}",
    "aws key": f"aws_secret_access_key = {SECRET}\nAWS_SESSION_TOKEN={SECRET}\n",
    "gcp json": json.dumps(
        {
            "type": "service_account",
            "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE" + SECRET + "\n-----END PRIVATE KEY-----\n",
            "private_key_id": "x",
        }
    ),
    "github tok": "remote: ghp_" + SECRET * 2 + "abcd",
    "gitlab tok": "x glpat-" + SECRET,
    "slack": "xoxb-1234567890-" + SECRET,
    "google api key": "AIzaSy" + SECRET * 2 + "a",
    "containerd auth": f'[plugins."io.containerd.grpc.v1.cri".registry.configs."r".auth]\n  username = "u"\n  password = "{SECRET}"\n  auth = "{ENCODED}"\n  identitytoken = "{SECRET}"\n',
    "toml literal": f"password = '{SECRET}'\n",
    "toml multi": f'password = """\n{SECRET}"""\n',
    "toml multi literal": f"password = '''{SECRET}'''\n",
    "hosts.toml header": f'[host."https://r".header]\n  Authorization = "Basic {ENCODED}"\n',
    "hosts.toml header of any name": f'[host."https://r".header]\n  X-JFrog-Art-Api = ["{SECRET}"]\n',
    "hosts.toml header list": f'[host."https://r".header]\n  Authorization = ["Basic {ENCODED}", "Bearer {SECRET}"]\n',
    "hosts.toml header custom": f'[host."https://r".header]\n  x-api-key = "{SECRET}"\n  X-JFrog-Art-Api = "{SECRET}"\n  PRIVATE-TOKEN = "{SECRET}"\n',
    "header token scheme": f'  Authorization = "token {SECRET}"\n',
    "header multi": f'  Authorization = [\n    "Bearer x",\n    "Custom {SECRET}"\n  ]\n',
    "header cookie": f"cookie: session={SECRET}",
    "docker auth": json.dumps({"auths": {"r": {"auth": ENCODED}}}),
    "docker auth pretty": json.dumps(
        {
            "auths": {
                "r": {
                    "auth": ENCODED,
                    "email": "a@b",
                    "password": SECRET,
                    "identitytoken": SECRET,
                    "registrytoken": SECRET,
                }
            }
        },
        indent=2,
    ),
    "docker HttpHeaders": json.dumps({"HttpHeaders": {"X-Meta-Auth": SECRET, "Authorization": "x " + SECRET}}),
    "encryption config": f"kind: EncryptionConfiguration\nresources:\n- providers:\n  - aescbc:\n      keys:\n      - name: key1\n        secret: {ENCODED}\n  - secretbox:\n      keys:\n      - name: key1\n        secret: {ENCODED}\n",
    "encryption flow": f"keys: [{{name: key1, secret: {ENCODED}}}]",
    "certificateKey": f"certificateKey: {'e' * 40}c4n4ry\n",
    "certificate-key flag": f"kubeadm join --certificate-key {SECRET} x",
    "certificate-key flag=": f"kubeadm join --certificate-key={SECRET} x",
    "Secret yaml": f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  foo: {ENCODED}\n  bar.txt: {ENCODED}\nstringData:\n  baz: {SECRET}\ntype: Opaque\n",
    "Secret yaml data first": f"data:\n  foo: {ENCODED}\napiVersion: v1\nkind: Secret\n",
    "Secret json": json.dumps(
        {"apiVersion": "v1", "kind": "Secret", "data": {"foo": ENCODED}, "stringData": {"x": SECRET}}
    ),
    "Secret list json": json.dumps(
        {"kind": "SecretList", "items": [{"metadata": {"name": "x"}, "data": {"foo": ENCODED}}]}
    ),
    "last-applied": json.dumps(
        {
            "metadata": {
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": json.dumps(
                        {"kind": "Secret", "data": {"foo": ENCODED}}
                    )
                }
            }
        }
    ),
    "cloud.conf": f'[Global]\nauth-url=https://k\nusername=u\npassword={SECRET}\napplication-credential-secret="{SECRET}"\n',
    "azure.json": json.dumps({"aadClientSecret": SECRET, "aadClientId": "x"}, indent=1),
    "vsphere": f'[VirtualCenter "1.2.3.4"]\nuser = "u"\npassword = "{SECRET}"\n',
    "calico etcd": f'"etcd_key": "-----BEGIN RSA PRIVATE KEY-----\\nMII{SECRET}\\n-----END RSA PRIVATE KEY-----"',
    "wireguard": f"[Interface]\nPrivateKey = {ENCODED}\nPresharedKey = {ENCODED}\n",
    "wg json": json.dumps({"psk": SECRET, "privateKey": ENCODED}),
    "ssh key": f"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb{SECRET}\n-----END OPENSSH PRIVATE KEY-----",
    "pgp": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ{SECRET}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
    "htpasswd": "user:$apr1$abc$" + SECRET,
    "shadow": "root:$6$salt$" + SECRET + ":1:0",
    "bcrypt": "admin:$2y$05$" + SECRET * 3,
    "jwt": "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0." + SECRET,
    "jwt in log": "token=eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0." + SECRET + " x",
    "bootstrap": "x abcdea.0123456789abcd9f y",
    "bootstrap in config": 'token: "abcdea.0123456789abcd9f"',
    "bootstrap in user:": "system:bootstrap:abcdea.0123456789abcd9f",
    "bootstrap quoted json esc": '\\"abcdea.0123456789abcd9f\\"',
    "bootstrap in token-secret": "token-id: abcdea\ntoken-secret: 0123456789abcd9f",
    "proxy url": f"http://u:{SECRET}@p:3128",
    "proxy url user only token": f"http://{SECRET}@p:3128",
    "proxy url specials": f"http://u:p@{SECRET}@p:3128",
    "proxy url slash in pw": f"http://u:a/{SECRET}@p:3128",
    "proxy uppercase scheme": f"HTTP://u:{SECRET}@p",
    "proxy percent": f"http://u:%40{SECRET}@p",
    "proxy no scheme": f"HTTP_PROXY=u:{SECRET}@proxy:3128",
    "proxy double slash": f"proxy = //u:{SECRET}@proxy",
    "flag token list": f"['--token', '{SECRET}']",
    "flag json list": json.dumps(["kubelet", "--token", SECRET, "--x"]),
    "flag args yaml": f"    - --token\n    - {SECRET}\n",
    "flag password space": f"cmd --password {SECRET} --x",
    "flag etcd": f"etcdctl --user root:{SECRET} get",
    "flag user=": f"etcdctl --user=root:{SECRET}",
    "etcd json": f'{{"rootPassword":"{SECRET}","userPassword":"{SECRET}"}}',
    "camel": f'"clientSecret": "{SECRET}", "dbPassword": "{SECRET}", "accessToken": "{SECRET}", "apiKey": "{SECRET}", "secretKey":"{SECRET}", "authToken":"{SECRET}", "bearerToken": "{SECRET}"',
    "camelyaml": f"clientSecret: {SECRET}\nsharedSecret: {SECRET}\nsecretAccessKey: {SECRET}\n",
    "upper": f"GITHUB_TOKEN={SECRET}\nDOCKER_AUTH={SECRET}\nSECRET_KEY_BASE={SECRET}\nENCRYPTION_KEY={SECRET}\nSIGNING_KEY={SECRET}\nJWT_SECRET={SECRET}\nPGPASSWORD={SECRET}\nREDISCLI_AUTH={SECRET}\nCREDENTIALS={SECRET}\n",
    "k3s config": f"token: {SECRET}\nagent-token: {SECRET}\ndatastore-endpoint: postgres://u:{SECRET}@h/db\n",
    "k3s K10": "K10" + "a" * 64 + "::server:" + SECRET,
    "k3s env": f"K3S_TOKEN={SECRET}",
    "mysql dsn": f"mysql://user:{SECRET}@tcp(host:3306)/db",
    "dsn noscheme": f"user:{SECRET}@tcp(host:3306)/db",
    "snmp": f"community: {SECRET}",
    "http body json token": f'{{"token":"{SECRET}","access_token":"{SECRET}","expires_in":300}}',
    "http set-cookie": f"set-cookie: sid={SECRET}; Path=/",
    "log klog": f'I0101 "Got token" token="{SECRET}"',
    "log go struct": f"&Config{{Username:admin Password:{SECRET} Token:{SECRET} BearerToken:{SECRET}}}",
    "log curl": f"-u admin:{SECRET}",
    "log curl long": f"curl --user admin:{SECRET}",
    "client-key-data base64 der": f"client-key-data: {ENCODED}",
    "client key data json": f'"client-key-data":"{ENCODED}"',
    "client key yaml folded": "client-key-data: >-\n      "
    + "\n      ".join(
        textwrap.wrap(base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----\n" + SECRET.encode() * 8).decode(), 40)
    ),
    "exec env kubeconfig": f"      env:\n      - name: AWS_SECRET_ACCESS_KEY\n        value: {SECRET}\n",
    "manifest env": json.dumps({"env": [{"name": "DB_PASSWORD", "value": SECRET}]}),
    "manifest env value first": json.dumps({"env": [{"value": SECRET, "name": "DB_PASSWORD"}]}),
    "auth-provider": f"    auth-provider:\n      config:\n        access-token: {SECRET}\n        id-token: {SECRET}\n        refresh-token: {SECRET}\n        client-secret: {SECRET}\n",
    "docker legacy dockercfg": json.dumps({"https://r": {"auth": ENCODED, "email": "x"}}),
    "netrc": f"machine r login u password {SECRET}",
    "kernel cmdline": f"root=/dev/sda rd.luks.key={SECRET} ip=x",
    "wpa": f'psk="{SECRET}"',
    "iscsi": f"node.session.auth.password = {SECRET}\n",
    "ceph": f"[client.admin]\n\tkey = {ENCODED}\n",
    "ceph mount": f"10.0.0.1:/ /mnt ceph name=admin,secret={SECRET} 0 0",
    "cifs": f"//h/s /m cifs username=u,password={SECRET} 0 0",
    "ldap": f"bindpw {SECRET}",
    "flannel etcd": f"--etcd-password={SECRET} --etcd-username=u",
    "kube-vip": f'- name: BGP_PASSWORD\n  value: "{SECRET}"',
    "header Proxy-Authorization": f"Proxy-Authorization: Basic {ENCODED}",
    "yaml anchors": f"token: &t {SECRET}\n",
    "yaml tag": f"token: !!str {SECRET}\n",
    "yaml ? key": f"? token\n: {SECRET}\n",
    "yaml quoted key": f'"token": {SECRET}\n',
    "toml dotted": f'a.auth.password = "{SECRET}"\n',
    "toml quoted key": f'"password" = "{SECRET}"\n',
    "toml inline": f'auth = {{username = "u", password = "{SECRET}"}}\n',
    "cr only": f"password: {SECRET}\rfoo",
    "tabs": f"password:\t{SECRET}",
    "colon no space": f"password:{SECRET}",
    "double-encoded json": json.dumps(json.dumps({"password": SECRET})),
    "triple-encoded json": json.dumps(json.dumps(json.dumps({"password": SECRET}))),
    "single-quoted py dict": f"{{'password': '{SECRET}'}}",
    "go map": f"map[password:{SECRET} token:{SECRET}]",
    "mysql attached": f"mysql -u root -p{SECRET} -h db",
    "mysql in a probe": f"    - mysqladmin\n    - ping\n    - -p{SECRET}\n",
    "mysql in json": json.dumps({"command": ["/usr/bin/mysqladmin", "ping", "-uroot", f"-p{SECRET}"]}),
    "mysql in pretty json": json.dumps({"command": ["mysqladmin", "ping", f"-p{SECRET}"]}, indent=2),
    "mysql in encoded json": json.dumps(json.dumps({"command": ["mysqladmin", "ping", f"-p{SECRET}"]})),
    "sshpass": f"sshpass -p {SECRET} ssh host; sshpass -p{SECRET} ssh host",
    "redis-cli": f"redis-cli -h r -a {SECRET} ping",
    "redis-cli in json": json.dumps(["redis-cli", "-a", SECRET, "ping"]),
    "redis-cli in a shell in json": json.dumps(["sh", "-c", f"redis-cli -a '{SECRET}' ping"]),
    "docker login": f"docker login -u u -p {SECRET} registry.example",
    "helm registry login": f"helm registry login -u u -p {SECRET} registry.example",
    "ldapsearch": f"ldapsearch -D cn=x -w {SECRET} -x",
    "ipmitool": f"ipmitool -U a -P {SECRET} -H h",
    "skopeo": f"skopeo copy --src-creds=u:{SECRET} --dest-creds u:{SECRET} a b",
    "crictl": f"crictl pull --creds u:{SECRET} x; crictl pull --auth {ENCODED} x",
    "openssl": f"openssl rsa -passin pass:{SECRET} -in x",
    "smbclient": f"smbclient -U u%{SECRET} //h/s",
    "redis flag": f"redis-server --requirepass {SECRET}",
    "redis.conf": f"requirepass {SECRET}\nmasterauth {SECRET}\n",
    "tailscale": f"tailscale up --authkey {SECRET}; tailscale up --auth-key={SECRET}",
    "erlang": f"-setcookie {SECRET}",
    "grub plain": f'set superusers="root"\npassword root {SECRET}\n',
    "grub hashed": f"password_pbkdf2 root grub.pbkdf2.sha512.10000.{SECRET}.{SECRET}",
    "putty": f"PuTTY-User-Key-File-3: ssh-ed25519\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 2\n{ENCODED}\n{ENCODED}\nPrivate-MAC: 00\n",
    "ipsec.secrets": f"192.0.2.1 %any : PSK \"{SECRET}\"\n: EAP '{SECRET}'\nu : XAUTH {SECRET}\n@x : PSK 0s{ENCODED}\n",
    "ipsec.secrets aligned": f'@x :\tPSK "{SECRET}"\nu  :  EAP {SECRET}\n',
    "ipsec.secrets rsa": f": RSA {{\n  PrivateExponent: 0x{SECRET}\n  Prime1: 0x{SECRET}\n  Exponent1: 0x{SECRET}\n  Coefficient: 0x{SECRET}\n}}\n",
    "xfrm": f"auth-trunc hmac(sha256) 0x{HEX} 128\nenc cbc(aes) 0x{HEX}\n",
    "setkey": f"add 192.0.2.1 192.0.2.2 esp 0x201 -E aes-cbc 0x{HEX};",
    "consul json": f'{{"encrypt": "{SHORT}"}}',
    "consul hcl": f'encrypt = "{SHORT}"\n',
    "consul flag": f"consul agent -encrypt={SHORT} -x; consul agent -encrypt {SHORT} -x",
    "escaped key": f'"pass\\u0077ord": {SECRET}',
    "escaped key by x": f'"pass\\x77ord": "{SECRET}"',
    "escaped key by U": f'"\\U00000070assword": {SECRET} and more',
    "escaped key in json": f'{{"\\u0074oken": "{SECRET}"}}',
    "escaped key in encoded json": json.dumps(f'{{"\\u0074oken": "{SECRET}"}}'),
    "escaped key of a block": f'"\\u0074oken": |\n  {SECRET}\n',
    "escaped name of a variable": f'- name: "DB_\\u0050ASSWORD"\n  value: {SECRET}\n',
    "keepalived": f"authentication {{\n    auth_type PASS\n    auth_pass {SECRET}\n}}\n",
    "haproxy": f"    stats auth admin:{SECRET}\n    user admin insecure-password {SECRET}\n",
    "frr": f" neighbor 192.0.2.1 password {SECRET}\n",
    "bird": f'    password "{SECRET}";\n',
    "bind": f'key "k" {{\n    secret "{ENCODED}";\n}};\n',
    "nginx": f'proxy_set_header X-Api-Key "{SECRET}";\nproxy_set_header X-Auth-Token {SECRET};\n',
    "digest": f'Authorization: Digest username="u", response="{SECRET}"\n',
    "signed url": f"https://s3.example/x?X-Amz-Signature={SECRET}&x=y https://cdn.example/x?a=b\\u0026Signature={SECRET}",
    "docker config in base64": base64.b64encode(json.dumps({"auths": {"r": {"password": SECRET}}}).encode()).decode(),
    "docker config in base64, pretty": base64.b64encode(
        json.dumps({"auths": {"r": {"password": SECRET}}}, indent=2).encode()
    ).decode(),
    "kubeadm init --upload-certs": f"[upload-certs] Using certificate key:\n{HEX * 2}\n",
    "iscsi, both ways": f"node.session.auth.password_in = {SECRET}\n",
    "slack's webhook": f"curl -d x https://hooks.slack.com/services/T00000000/B00000000/{SECRET}",
    "slack's webhook in json": f'{{"url":"https:\\/\\/hooks.slack.com\\/services\\/T00000000\\/B00000000\\/{SECRET}"}}',
    "slack's workflow": f"https://hooks.slack.com/triggers/T00000000/1234567890/{SECRET}",
    "discord's webhook": f"https://discord.com/api/webhooks/123456789012345678/{SECRET}",
    "telegram's bot": f"curl https://api.telegram.org/bot123456:{SECRET}/sendMessage?chat_id=1",
    "telegram's bot, its token": f"bot 123456789:AAH{SECRET}{SECRET} sends",
    "pgpass": f"db.example:5432:app:u:{SECRET}\n*:*:*:replicator:{SECRET}'\\:x{SECRET}\n\\:\\:1:5432:*:u:{SECRET}\n",
    "pgpass in a command": f"echo 'db.example:5432:*:u:{SECRET}' > /root/.pgpass; echo \"localhost:*:*:u:{SECRET}\" >> x",
    "pgpass in json": json.dumps({"file": f"db.example:5432:app:u:{SECRET}\nlocalhost:5432:app:u:{SECRET}\n"}),
    "chrony.keys": f"1 MD5 {SECRET}\n 20\tSHA1 HEX:{SECRET} # b\n30 SHA256 ASCII:{SECRET}\n40 AES128 HEX:{SECRET}\n5 SHA3-256 {SECRET}\n",
    "chrony.keys in json": json.dumps({"file": f"1 MD5 {SECRET}\n2 SHA1 HEX:{SECRET}\n"}),
    "psk.txt with a number": f"192.0.2.1 0x{HEX}\nu@vpn.example 0x{HEX}\n2001:db8::1\t0x{HEX}\n",
    "chpasswd": f"echo root:{SECRET} | chpasswd",
    "chpasswd by sudo": f"echo 'a:{SECRET} and {SECRET}' | sudo -n /usr/sbin/chpasswd -c SHA512",
    "chpasswd of several": f"printf 'a:{SECRET}\\nb:{SECRET}\\n' | chpasswd",
    "chpasswd in json": json.dumps(["sh", "-c", f'echo "root:{SECRET}" | chpasswd']),
    "chpasswd, here": f'chpasswd <<< "root:{SECRET}"\n',
    "chpasswd, a list here": f"chpasswd -e <<'EOF'\na:{SECRET}'{SECRET} {SECRET}\nb:{SECRET}\nEOF\n",
    "chpasswd, a list before it": f"cat <<EOF | chpasswd\nroot:{SECRET}\nEOF\n",
    "chpasswd in a list in json": json.dumps({"run": f"chpasswd <<EOF\na:{SECRET}\nb:{SECRET}\nEOF\n"}),
    "cloud-init": f"chpasswd:\n  expire: false\n  list: |\n    root:{SECRET}\n    b:{SECRET} {SECRET}\n",
    "cloud-init, older": f"chpasswd:\n  list:\n    - root:{SECRET}\n    - 'b:{SECRET}'\n  expire: false\n",
    "cloud-init in a flow": f"chpasswd: {{list: ['root:{SECRET}', 'b:{SECRET}'], expire: false}}",
    "cloud-init in json": json.dumps({"chpasswd": {"expire": False, "list": f"root:{SECRET}\nb:{SECRET}"}}),
}

NOT_IN_LOGS = frozenset(
    {"password with spaces", "redis.conf", "grub plain", "keepalived", "haproxy", "frr", "bird", "bind", "nginx"}
)
"""In a log, a value without quotes ends with its word: what comes behind it is what the log has to tell. And `password expired` is no directive there."""


def leaks(text: str) -> list[str]:
    """What is left of a secret in a text, also in base64."""
    found = [word for word in ("c4n4ry", "YzRuNHJ5", "0123456789abcd9f") if word in text]
    runs = re.findall(r"[A-Za-z0-9+/]{24,}", re.sub(r"(?<=[A-Za-z0-9+/])\n\s*(?=[A-Za-z0-9+/])", "", text))
    return found + [run[:16] for run in runs if b"c4n4ry" in base64.b64decode(run[: len(run) // 4 * 4])]
