"""Names that tell nothing of a node, and so stay: those that programs come with, and words of the field."""

from __future__ import annotations

import re

from k8sdoctor.patterns import regex

_WORDS = """
a access account active add addon addons address addresses admin agent alias all alpha amd64 anonymous api apiserver app application apps arm64 arp arpa audit auth
authority auto automatic backend backup balancer bare base bash beta bin bind block boot bootstrap bridge broadcast bucket build bus ca cache calico canal
cert certificate certificates certs cgroup cgroups chain chart check class client clients cloud cluster clusters cmd cni code com common compute conf config configmap
configs connect conntrack console container containerd containers context control controller controllers controlplane control-plane core coredns cp cpu cri crictl
crio cron csi daemon dashboard data database db debian debug default delete deploy deployment dev devel device dhcp dig dir disk dns dnsmasq docker dockerd domain
down drop dual edge elastic email enabled endpoint endpoints env error etc eth ether etcd event events example exec external failed false fedora file files filter
firewall flannel flatcar forward forwarding front front-proxy gateway gcr get git global grafana group groups guest ha haproxy head health help helm home host
hostname hostnet hosts http https hub id identity image images in index info infra ingress init input inner input install instance int interface internal internet intern
intranet io ip ip4 ip6 iptables ipv4 ipv6 ipvs is iscsi istio java job join journal json k0s k3s k8s keepalived kernel key keys kind kube kube-apiserver kube-dns
kube-node-lease kube-proxy kube-public kube-scheduler kube-system kube-controller-manager kubeadm kubectl kubelet kubernetes kubernetes-admin kubernetes-super-admin kvm lab
label labels lan latest lb lease leases legacy level lib library limit limits linux list live lo load loadbalancer local localdomain localhost log login logs loop
machine main manager manifest manifests mask master masters mem memory mesh meta metadata metallb metrics microk8s minikube mirror mirrors mode module modules mon
monitoring mount multus mysql name names namespace namespaces nat net net1 netns network networks new nfs nft nginx nic no node node-role nodelocaldns nodes none null
ntp ns offline oidc ok old one online open openstack ops options org os other out outer output overlay owner package packages password path pause peer peers
ping pki plugin plugins pod pods podman policies policy pool pools port ports postgres private privileged probe prod production profile project
prometheus protocol proxy proxies public pull push queue quorum quay rack rbd read ready redis ref region registries registry release remote repo repository request
reserved resolv resolver restart rke rke2 root route router routes rpc rsyslog rule rules run runc runtime sa sandbox scheduler schedule search secret
secrets secure security self server servers service services session set sh shell site socket source spec ssh stable stack stage staging start state
static status stop storage store subnet super swap switch sys sysctl syslog system systemd table tail tap target task tcp temp template test tests tier time timer
tls tmp token tokens tool tools traefik true tun two type ubuntu udp unix unknown up update upstream url user users usr utc uuid var version veth vg
vip virtual vlan vm volume volumes vpn vxlan warn watch web weave webhook wg windows wireguard work worker workers workload workloads www x509 yaml zone zones svc invalid k8sdoctor
"""


def _all(text: str) -> frozenset[str]:
    return frozenset(text.split())


ORDINARY = _all(_WORDS)
"""Words that are written in configurations and messages whatever a machine is called."""

# Interfaces, versions and numbers; and what of a token is so short that it could be any part of a name.
_NUMBERED = regex(
    r"\d+|v\d+(?:(?:alpha|beta|rc)\d+)?|[a-z]|x86_64|"
    r"(?:lo|eth|en[opsx]|ib|wlan|wl|br|bond|team|docker|cni|cbr|veth|cali|vxlan|tunl|dummy|nodelocaldns|flannel|weave|tun|tap|wg|ipvs)[0-9a-z]*\d",
    re.IGNORECASE,
)

DOMAINS = _all("""
    kubernetes.io k8s.io cluster.local kubernetes.default kubernetes.default.svc k8s.gcr.io gcr.io ghcr.io docker.io docker.com quay.io registry-1.docker.io pkgs.k8s.io
    cncf.io etcd.io containerd.io cri-o.io podman.io opencontainers.org coreos.com projectcalico.org tigera.io cilium.io weave.works flannel.io antrea.io coredns.io
    prometheus.io helm.sh istio.io openshift.io k3s.io k3s.cattle.io cattle.io rancher.io rancher.com rke2.io k0sproject.io metallb.io nginx.org nginx.com traefik.io
    cert-manager.io fluxcd.io argoproj.io crossplane.io knative.dev cluster.x-k8s.io x-k8s.io sigs.k8s.io kubespray.io microk8s.io
    github.com githubusercontent.com github.io gitlab.com golang.org go.dev google.com googleapis.com gstatic.com google.internal goog lwn.net man7.org
    nvidia.com nvcr.io intel.com amd.com microsoft.com mcr.microsoft.com redhat.com redhat.io fedoraproject.org centos.org debian.org ubuntu.com canonical.com suse.com
    opensuse.org alpinelinux.org rockylinux.org almalinux.org oracle.com kernel.org gnu.org freedesktop.org systemd.io flatcar.org flatcar-linux.org python.org ntp.org w3.org
    letsencrypt.org cloudflare.com cloudflare-dns.com one.one dns.google opendns.com quad9.net haproxy.org keepalived.org apache.org mozilla.org yaml.org json-schema.org
    daocloud.io azk8s.cn docker-cn.com qiniu.com ustc.edu.cn sjtu.edu.cn 163.com tencentyun.com nju.edu.cn registry.aliyuncs.com registry.cn-hangzhou.aliyuncs.com
    localhost localhost.localdomain arpa invalid
    """)
"""Domains of projects, distributions and public services, and the special-use ones; what is below them stays, too."""

TENANTED = _all("""
    amazonaws.com amazonaws.com.cn azurecr.io azurecr.cn azmk8s.io azure.com windows.net pkg.dev cloudapp.net compute.internal ec2.internal aliyuncs.com
    digitaloceanspaces.com ondigitalocean.com oraclecloud.com ocir.io appdomain.cloud icr.io jfrog.io cloudsmith.io nip.io sslip.io
    """)
"""Domains of clouds: the domain stays, and what is below it is a customer's."""

TOP = _all("""
    com net org io dev cloud app local localdomain internal intern intranet lan home corp private test example invalid arpa localhost lab int edu gov mil info biz
    svc
    """)
"""Last labels that stay as they are; that of a country becomes `test`."""

COUNTRIES = _all(
    "ar at au be br ca ch cl cn cz de dk ee es eu fi fr gr hu ie il it jp kr lt lu lv mx nl nz pl pt ro ru se si sk tr tw ua uk us za"
)
"""Countries whose domains are told from names of files, wherever they stand."""

GENERIC = _all("com net org edu gov mil info biz corp lan intern internal intranet home cloud")
"""Last labels by which a name is told to be a domain name, wherever it stands."""


PROJECTS = _all("""
    abac acmesolver adapter addon-resizer admission advisor aggregated alertmanager allocator alpine ambassador ansible antrea aqua argo argocd artifactory attacher
    autoscaler autopilot aws azure azuredisk azurefile bgp bird bitnami blackbox bpf busybox bird6 buildkit cadvisor cainjector calicoctl canary ceph cephcsi cephfs cfg cert-manager cilium cloudflare
    clustercheck cluster-api cncf cnx collector confd configmap-reload consul contour controllers cilium-envoy conformance cstor curl csi csidriver
    dcgm descheduler dex dikastes dind discovery distroless ds dnsutils driver ebs ebpf ec2 efs elasticsearch emissary envoy epd exporter external external-dns external-secrets
    fake falco felix filebeat filelog flanneld fleet fluent fluentbit fluentd flux galera gatekeeper gcp gce gitea gitlab gitops gke goharbor goldmane google gpu gvisor
    hami harbor hello helmfile heapster hubble hyperkube ingressgateway egressgateway injector istiod istio-system jaeger jenkins jetstack jiva k8scloudprovider k8scsi kaniko kata karpenter kafka
    karmada keda keepalive kettle keycloak kiali kibana kindest kindnet kindnetd klipper knative kong kops kubectl kubelets kubermatic kubernetesui kubeproxy kubespray kubesphere kubevirt
    kube-flannel kube-multus kured kustomize kyverno library linkerd linuxserver livenessprobe local-path localpv logstash loki longhorn mariadb memcached minio mirrored
    mirrorgooglecontainers moby mongo mongodb multipath mutating nacos nats ndots netd netcat netshoot nexus nfd nfs nginxinc nodeport node-problem-detector notification npc
    nvidia oauth2 observability olm opa openebs openelb openfaas opensearch openstack opentelemetry operator operators opentracing optimizer oras otel ovn ovs patroni percona perf
    pilot polaris portworx postgresql problem detector profiler promtail provisioner proxyv2 pushgateway rabbitmq rancher reflector registrar reloader resizer restic
    rkelease rook rpi samples sealed sealer servicelb scraper shim shm sidecar sig smb snapshot snapshotter sonarqube sources speaker spegel spiffe spire
    sriov stateful statefulset stats strimzi submariner svclb tailscale tekton telegraf tempo thanos tigera tigera-operator tiller trivy trust typha typhoon uptime validating vault vector
    velero vip virt vpa vsphere vxlan-tools waypoint weave-net weaveworks webhooks whereabouts whisker whoami wordpress world zipkin zookeeper ztunnel
    daemonset deployment replicaset cronjob replica relay rbac reporter shell sync syncer wait waiter xds busybox-musl echo echoserver agnhost httpbin go nodejs node-feature-discovery python golang
    cert ui web-ui scheduler-plugins state kube-state-metrics feature tools manager aio v4 v6 hostpath block filesystem apiservice aggregator rs sts po svc ep ing cm sa ro rw gc
    google_containers gke-release eks aks addon-manager metrics-server dns-node-cache amazon k8s-artifacts-prod containers serviceaccount team releases mirroring cache cached caches
    """)
"""Words of which names of workloads are made that many clusters have: of projects, and of what Kubernetes calls its parts."""


PROSE = _all("""
    networkmanager after also an and any are as at be been before but by can cannot changed could created do does edit edited first for from generated has have here if into it its
    lines made  managed may more must not note of on only or program see so such than that the their them then there these they this those to under
    unless use used uses using  was when where which will with without you your don't configuration configurations fields listed sourced man manual
    page section following note default defaults option settings
    """)
"""Words between those of the field."""


def is_public_workload(name: str) -> bool:
    """Whether a pod, a namespace or a part of an image's path is called as others call theirs, too.

    >>> [is_public_workload(name) for name in ("coredns", "kube-state-metrics", "google_containers", "payments-api", "team-frodo")]
    [True, True, True, False, False]
    """
    lower = name.lower()
    if lower in PROJECTS or is_ordinary(lower):
        return True
    return all(part in PROJECTS or part in ORDINARY or _NUMBERED.fullmatch(part) for part in re.split(r"[-_.]", lower))


def is_ordinary(word: str) -> bool:
    """Whether a name is a word that other things are called, too, so that it tells nothing and cannot be told from those.

    >>> [is_ordinary(word) for word in ("node", "Control-Plane", "eth0", "v1", "k8s-master", "cp1", "frodo")]
    [True, True, True, True, True, False, False]
    """
    lower = word.lower()
    if lower in ORDINARY or _NUMBERED.fullmatch(lower):
        return True
    parts = re.split(r"[-_]", lower)
    return len(parts) > 1 and all(part in ORDINARY for part in parts)
