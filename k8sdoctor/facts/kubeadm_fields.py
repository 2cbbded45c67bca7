"""The fields of the documents that kubeadm reads: their names, what kind of value each takes, and from which kubeadm on.

Taken from kubernetes 1.36.2: `cmd/kubeadm/app/apis/kubeadm/v1beta3/types.go` and `v1beta4/types.go`, `cmd/kubeadm/app/apis/bootstraptoken/v1/types.go`,
`staging/src/k8s.io/kubelet/config/v1beta1/types.go`, `staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go` and the types that they embed. The kubelet's
fields were compared with every release from 1.22 to 1.37-beta: fields came, and none went.

A line is a structure and its fields. A field is text unless `=` says otherwise: `switch` (true or false), `number`, `duration` (text such as `4m0s`),
`any`, `[x` (a list of x), `{x` (a mapping to x), or the name of another structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

from k8sdoctor.facts.versions import Version

Structures: TypeAlias = Mapping[str, Mapping[str, str]]
"""Fields and their kinds, by the name of the structure."""

GROUP = "kubeadm.k8s.io"

FIRST: Mapping[str, Version] = {
    "v1beta1": (1, 13, 0),
    "v1beta2": (1, 15, 0),
    "v1beta3": (1, 22, 0),
    "v1beta4": (1, 31, 0),  # there since 1.28 and refused as experimental until 1.31 (kubernetes/kubernetes#125029)
}
"""The first release of kubeadm that takes each version of its API."""

REMOVED: Mapping[str, Version] = {
    "v1alpha1": (1, 12, 0),
    "v1alpha2": (1, 13, 0),
    "v1alpha3": (1, 15, 0),
    "v1beta1": (1, 22, 0),  # kubernetes/kubernetes#101129
    "v1beta2": (1, 27, 0),  # kubernetes/kubernetes#114540
    "v1beta3": (1, 37, 0),  # kubernetes/kubernetes#136016
}
"""The first release of kubeadm that refuses it (`validateSupportedVersion` of `cmd/kubeadm/app/util/config/common.go`)."""

DEPRECATED: Mapping[str, Version] = {
    "v1beta1": (1, 17, 0),
    "v1beta2": (1, 24, 0),
    "v1beta3": (1, 31, 0),
}
"""The first release of kubeadm that warns of it."""

LAST_KNOWN: Version = (1, 37, 0)
"""Releases behind this one may know fields that are not here."""

KUBELET = "kubelet.config.k8s.io/v1beta1"
KUBE_PROXY = "kubeproxy.config.k8s.io/v1alpha1"

_V1BETA3 = """\
ClusterConfiguration: etcd=Etcd networking=Networking kubernetesVersion controlPlaneEndpoint apiServer=APIServer
  controllerManager=ControlPlaneComponent scheduler=ControlPlaneComponent dns=DNS certificatesDir imageRepository
  featureGates={switch clusterName
InitConfiguration: bootstrapTokens=[BootstrapToken nodeRegistration=NodeRegistrationOptions
  localAPIEndpoint=APIEndpoint certificateKey skipPhases=[text patches=Patches
JoinConfiguration: nodeRegistration=NodeRegistrationOptions caCertPath discovery=Discovery
  controlPlane=JoinControlPlane skipPhases=[text patches=Patches
Etcd: local=LocalEtcd external=ExternalEtcd
Networking: serviceSubnet podSubnet dnsDomain
APIServer: extraArgs={text extraVolumes=[HostPathMount certSANs=[text timeoutForControlPlane=duration
ControlPlaneComponent: extraArgs={text extraVolumes=[HostPathMount
DNS: imageRepository imageTag
BootstrapToken: token description ttl=duration expires=any usages=[text groups=[text
NodeRegistrationOptions: name criSocket taints=[Taint kubeletExtraArgs={text ignorePreflightErrors=[text
  imagePullPolicy
APIEndpoint: advertiseAddress bindPort=number
Patches: directory
Discovery: bootstrapToken=BootstrapTokenDiscovery file=FileDiscovery tlsBootstrapToken timeout=duration
JoinControlPlane: localAPIEndpoint=APIEndpoint certificateKey
LocalEtcd: imageRepository imageTag dataDir extraArgs={text serverCertSANs=[text peerCertSANs=[text
ExternalEtcd: endpoints=[text caFile certFile keyFile
HostPathMount: name hostPath mountPath readOnly=switch pathType
Taint: key value effect timeAdded=any
BootstrapTokenDiscovery: token apiServerEndpoint caCertHashes=[text unsafeSkipCAVerification=switch
FileDiscovery: kubeConfigPath
"""

_V1BETA4 = """\
ClusterConfiguration: etcd=Etcd networking=Networking kubernetesVersion controlPlaneEndpoint apiServer=APIServer
  controllerManager=ControlPlaneComponent scheduler=ControlPlaneComponent dns=DNS proxy=Proxy certificatesDir
  imageRepository featureGates={switch clusterName encryptionAlgorithm certificateValidityPeriod=duration
  caCertificateValidityPeriod=duration
InitConfiguration: bootstrapTokens=[BootstrapToken dryRun=switch nodeRegistration=NodeRegistrationOptions
  localAPIEndpoint=APIEndpoint certificateKey skipPhases=[text patches=Patches timeouts=Timeouts
JoinConfiguration: dryRun=switch nodeRegistration=NodeRegistrationOptions caCertPath discovery=Discovery
  controlPlane=JoinControlPlane skipPhases=[text patches=Patches timeouts=Timeouts
ResetConfiguration: cleanupTmpDir=switch certificatesDir criSocket dryRun=switch force=switch
  ignorePreflightErrors=[text skipPhases=[text unmountFlags=[text timeouts=Timeouts
UpgradeConfiguration: apply=UpgradeApplyConfiguration diff=UpgradeDiffConfiguration node=UpgradeNodeConfiguration
  plan=UpgradePlanConfiguration timeouts=Timeouts
Etcd: local=LocalEtcd external=ExternalEtcd
Networking: serviceSubnet podSubnet dnsDomain
APIServer: extraArgs=[Arg extraVolumes=[HostPathMount extraEnvs=[EnvVar certSANs=[text
ControlPlaneComponent: extraArgs=[Arg extraVolumes=[HostPathMount extraEnvs=[EnvVar
DNS: imageRepository imageTag disabled=switch
Proxy: disabled=switch
BootstrapToken: token description ttl=duration expires=any usages=[text groups=[text
NodeRegistrationOptions: name criSocket taints=[Taint kubeletExtraArgs=[Arg ignorePreflightErrors=[text
  imagePullPolicy imagePullSerial=switch
APIEndpoint: advertiseAddress bindPort=number
Patches: directory
Timeouts: controlPlaneComponentHealthCheck=duration kubeletHealthCheck=duration kubernetesAPICall=duration
  etcdAPICall=duration tlsBootstrap=duration discovery=duration upgradeManifests=duration
Discovery: bootstrapToken=BootstrapTokenDiscovery file=FileDiscovery tlsBootstrapToken
JoinControlPlane: localAPIEndpoint=APIEndpoint certificateKey
UpgradeApplyConfiguration: kubernetesVersion allowExperimentalUpgrades=switch allowRCUpgrades=switch
  certificateRenewal=switch dryRun=switch etcdUpgrade=switch forceUpgrade=switch ignorePreflightErrors=[text
  patches=Patches printConfig=switch skipPhases=[text imagePullPolicy imagePullSerial=switch
UpgradeDiffConfiguration: kubernetesVersion contextLines=number
UpgradeNodeConfiguration: certificateRenewal=switch dryRun=switch etcdUpgrade=switch ignorePreflightErrors=[text
  skipPhases=[text patches=Patches imagePullPolicy imagePullSerial=switch
UpgradePlanConfiguration: kubernetesVersion allowExperimentalUpgrades=switch allowRCUpgrades=switch dryRun=switch
  etcdUpgrade=switch ignorePreflightErrors=[text printConfig=switch
LocalEtcd: imageRepository imageTag dataDir extraArgs=[Arg extraEnvs=[EnvVar serverCertSANs=[text peerCertSANs=[text
ExternalEtcd: endpoints=[text httpEndpoints=[text caFile certFile keyFile
Arg: name value
HostPathMount: name hostPath mountPath readOnly=switch pathType
EnvVar: name value valueFrom=any
Taint: key value effect timeAdded=any
BootstrapTokenDiscovery: token apiServerEndpoint caCertHashes=[text unsafeSkipCAVerification=switch
FileDiscovery: kubeConfigPath
"""

_KUBELET = """\
KubeletConfiguration: enableServer=switch staticPodPath podLogsDir syncFrequency=duration fileCheckFrequency=duration
  httpCheckFrequency=duration staticPodURL staticPodURLHeader={[text address port=number readOnlyPort=number
  tlsCertFile tlsPrivateKeyFile tlsCipherSuites=[text tlsCurvePreferences=[number tlsMinVersion
  rotateCertificates=switch serverTLSBootstrap=switch authentication=KubeletAuthentication
  authorization=KubeletAuthorization registryPullQPS=number registryBurst=number
  imagePullCredentialsVerificationPolicy preloadedImagesVerificationAllowlist=[text eventRecordQPS=number
  eventBurst=number enableDebuggingHandlers=switch enableContentionProfiling=switch healthzPort=number
  healthzBindAddress oomScoreAdj=number clusterDomain clusterDNS=[text streamingConnectionIdleTimeout=duration
  nodeStatusUpdateFrequency=duration nodeStatusReportFrequency=duration nodeLeaseDurationSeconds=number
  imageMinimumGCAge=duration imageMaximumGCAge=duration imageGCHighThresholdPercent=number
  imageGCLowThresholdPercent=number volumeStatsAggPeriod=duration kubeletCgroups systemCgroups cgroupRoot
  cgroupsPerQOS=switch cgroupDriver cpuManagerPolicy singleProcessOOMKill=switch cpuManagerPolicyOptions={text
  cpuManagerReconcilePeriod=duration memoryManagerPolicy topologyManagerPolicy topologyManagerScope
  topologyManagerPolicyOptions={text qosReserved={text runtimeRequestTimeout=duration hairpinMode maxPods=number
  podCIDR podPidsLimit=number resolvConf runOnce=switch cpuCFSQuota=switch cpuCFSQuotaPeriod=duration
  nodeStatusMaxImages=number maxOpenFiles=number contentType kubeAPIQPS=number kubeAPIBurst=number
  serializeImagePulls=switch maxParallelImagePulls=number evictionHard={text evictionSoft={text
  evictionSoftGracePeriod={text evictionPressureTransitionPeriod=duration evictionMaxPodGracePeriod=number
  evictionMinimumReclaim={text mergeDefaultEvictionSettings=switch podsPerCore=number
  enableControllerAttachDetach=switch protectKernelDefaults=switch makeIPTablesUtilChains=switch
  iptablesMasqueradeBit=number iptablesDropBit=number featureGates={switch failSwapOn=switch
  memorySwap=MemorySwapConfiguration containerLogMaxSize containerLogMaxFiles=number containerLogMaxWorkers=number
  containerLogMonitorInterval=duration configMapAndSecretChangeDetectionStrategy systemReserved={text
  kubeReserved={text reservedSystemCPUs showHiddenMetricsForVersion systemReservedCgroup kubeReservedCgroup
  enforceNodeAllocatable=[text allowedUnsafeSysctls=[text volumePluginDir providerID kernelMemcgNotification=switch
  logging=LoggingConfiguration enableSystemLogHandler=switch enableSystemLogQuery=switch shutdownGracePeriod=duration
  shutdownGracePeriodCriticalPods=duration shutdownGracePeriodByPodPriority=[ShutdownGracePeriodByPodPriority
  crashLoopBackOff=CrashLoopBackOffConfig reservedMemory=[MemoryReservation enableProfilingHandler=switch
  enableDebugFlagsHandler=switch seccompDefault=switch memoryThrottlingFactor=number memoryReservationPolicy
  registerWithTaints=[Taint registerNode=switch tracing=TracingConfiguration localStorageCapacityIsolation=switch
  containerRuntimeEndpoint imageServiceEndpoint failCgroupV1=switch userNamespaces=UserNamespaces
KubeletAuthentication: x509=KubeletX509Authentication webhook=KubeletWebhookAuthentication
  anonymous=KubeletAnonymousAuthentication
KubeletAuthorization: mode webhook=KubeletWebhookAuthorization
MemorySwapConfiguration: swapBehavior
LoggingConfiguration: format flushFrequency=any verbosity=number vmodule=[VModuleItem options=FormatOptions
ShutdownGracePeriodByPodPriority: priority=number shutdownGracePeriodSeconds=number
CrashLoopBackOffConfig: maxContainerRestartPeriod=duration
MemoryReservation: numaNode=number limits={any
Taint: key value effect timeAdded=any
TracingConfiguration: endpoint samplingRatePerMillion=number
UserNamespaces: idsPerPod=number
KubeletX509Authentication: clientCAFile
KubeletWebhookAuthentication: enabled=switch cacheTTL=duration
KubeletAnonymousAuthentication: enabled=switch
KubeletWebhookAuthorization: cacheAuthorizedTTL=duration cacheUnauthorizedTTL=duration
VModuleItem: filePattern verbosity=number
FormatOptions: text=TextOptions json=JSONOptions
TextOptions: splitStream=switch infoBufferSize=any
JSONOptions: splitStream=switch infoBufferSize=any
"""

_KUBE_PROXY = """\
KubeProxyConfiguration: featureGates={switch clientConnection=ClientConnectionConfiguration
  logging=LoggingConfiguration hostnameOverride bindAddress healthzBindAddress metricsBindAddress
  bindAddressHardFail=switch enableProfiling=switch showHiddenMetricsForVersion mode
  iptables=KubeProxyIPTablesConfiguration ipvs=KubeProxyIPVSConfiguration nftables=KubeProxyNFTablesConfiguration
  winkernel=KubeProxyWinkernelConfiguration detectLocalMode detectLocal=DetectLocalConfiguration clusterCIDR
  nodePortAddresses=[text oomScoreAdj=number conntrack=KubeProxyConntrackConfiguration configSyncPeriod=duration
  portRange windowsRunAsService=switch
ClientConnectionConfiguration: kubeconfig acceptContentTypes contentType qps=number burst=number
LoggingConfiguration: format flushFrequency=any verbosity=number vmodule=[VModuleItem options=FormatOptions
KubeProxyIPTablesConfiguration: masqueradeBit=number masqueradeAll=switch localhostNodePorts=switch
  syncPeriod=duration minSyncPeriod=duration
KubeProxyIPVSConfiguration: syncPeriod=duration minSyncPeriod=duration scheduler excludeCIDRs=[text strictARP=switch
  tcpTimeout=duration tcpFinTimeout=duration udpTimeout=duration
KubeProxyNFTablesConfiguration: masqueradeBit=number masqueradeAll=switch syncPeriod=duration minSyncPeriod=duration
KubeProxyWinkernelConfiguration: networkName sourceVip enableDSR=switch rootHnsEndpointName
  forwardHealthCheckVip=switch
DetectLocalConfiguration: bridgeInterface interfaceNamePrefix
KubeProxyConntrackConfiguration: maxPerCore=number min=number tcpEstablishedTimeout=duration
  tcpCloseWaitTimeout=duration tcpBeLiberal=switch udpTimeout=duration udpStreamTimeout=duration
VModuleItem: filePattern verbosity=number
FormatOptions: text=TextOptions json=JSONOptions
TextOptions: splitStream=switch infoBufferSize=any
JSONOptions: splitStream=switch infoBufferSize=any
"""

_TEXTS: Mapping[str, str] = {
    f"{GROUP}/v1beta3": _V1BETA3,
    f"{GROUP}/v1beta4": _V1BETA4,
    KUBELET: _KUBELET,
    KUBE_PROXY: _KUBE_PROXY,
}


@cache
def structures(api_version: str) -> Structures | None:
    """The structures of an API version; None of one that is not here.

    >>> structures("kubeadm.k8s.io/v1beta4")["Networking"]
    {'serviceSubnet': 'text', 'podSubnet': 'text', 'dnsDomain': 'text'}
    """
    text = _TEXTS.get(api_version)
    if text is None:
        return None
    found: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    for word in text.split():
        if word.endswith(":"):
            fields = found[word[:-1]] = {}
        else:
            name, _, kind = word.partition("=")
            fields[name] = kind or "text"
    return found


def kinds(api_version: str) -> tuple[str, ...]:
    """The kinds of document of an API version; empty of one that is not here."""
    return tuple(name for name in structures(api_version) or {} if name.endswith("Configuration") and name in DOCUMENTS)


DOCUMENTS = (
    "ClusterConfiguration",
    "InitConfiguration",
    "JoinConfiguration",
    "ResetConfiguration",
    "UpgradeConfiguration",
    "KubeletConfiguration",
    "KubeProxyConfiguration",
)
"""Every kind that kubeadm reads; all but the last two are its own."""
