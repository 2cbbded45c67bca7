"""The fields of KubeletConfiguration v1beta1: what kind of value each takes, and since when.

Written from `config/v1beta1/types.go` of k8s.io/kubelet, all releases from 1.20 to 1.36; no field was removed in them.
"""

from __future__ import annotations

KNOWN_FROM = (1, 20)
KNOWN_TO = (1, 36)
"""The releases whose fields are known in full."""

KINDS: dict[str, tuple[str, ...]] = {
    "switch": (
        *("cgroupsPerQOS", "cpuCFSQuota", "enableContentionProfiling", "enableControllerAttachDetach"),
        *("enableDebugFlagsHandler", "enableDebuggingHandlers", "enableProfilingHandler", "enableServer"),
        *("enableSystemLogHandler", "enableSystemLogQuery", "failCgroupV1", "failSwapOn"),
        *("kernelMemcgNotification", "localStorageCapacityIsolation", "makeIPTablesUtilChains"),
        *("mergeDefaultEvictionSettings", "protectKernelDefaults", "registerNode", "rotateCertificates"),
        *("runOnce", "seccompDefault", "serializeImagePulls", "serverTLSBootstrap", "singleProcessOOMKill"),
    ),
    "text": (
        *("address", "cgroupDriver", "cgroupRoot", "clusterDomain"),
        *("configMapAndSecretChangeDetectionStrategy", "containerLogMaxSize", "containerRuntimeEndpoint"),
        *("contentType", "cpuManagerPolicy", "hairpinMode", "healthzBindAddress"),
        *("imagePullCredentialsVerificationPolicy", "imageServiceEndpoint", "kubeReservedCgroup"),
        *("kubeletCgroups", "memoryManagerPolicy", "memoryReservationPolicy", "podCIDR", "podLogsDir"),
        *("providerID", "reservedSystemCPUs", "resolvConf", "showHiddenMetricsForVersion", "staticPodPath"),
        *("staticPodURL", "systemCgroups", "systemReservedCgroup", "tlsCertFile", "tlsMinVersion"),
        *("tlsPrivateKeyFile", "topologyManagerPolicy", "topologyManagerScope", "volumePluginDir"),
    ),
    "duration": (
        *("containerLogMonitorInterval", "cpuCFSQuotaPeriod", "cpuManagerReconcilePeriod"),
        *("evictionPressureTransitionPeriod", "fileCheckFrequency", "httpCheckFrequency", "imageMaximumGCAge"),
        *("imageMinimumGCAge", "nodeStatusReportFrequency", "nodeStatusUpdateFrequency"),
        *("runtimeRequestTimeout", "shutdownGracePeriod", "shutdownGracePeriodCriticalPods"),
        *("streamingConnectionIdleTimeout", "syncFrequency", "volumeStatsAggPeriod"),
    ),
    "mapping": (
        *("authentication", "authorization", "crashLoopBackOff", "logging", "memorySwap", "staticPodURLHeader"),
        *("tracing", "userNamespaces"),
    ),
    "number": (
        *("containerLogMaxFiles", "containerLogMaxWorkers", "eventBurst", "eventRecordQPS"),
        *("evictionMaxPodGracePeriod", "healthzPort", "imageGCHighThresholdPercent"),
        *("imageGCLowThresholdPercent", "iptablesDropBit", "iptablesMasqueradeBit", "kubeAPIBurst"),
        *("kubeAPIQPS", "maxOpenFiles", "maxParallelImagePulls", "maxPods", "nodeLeaseDurationSeconds"),
        *("nodeStatusMaxImages", "oomScoreAdj", "podPidsLimit", "podsPerCore", "port", "readOnlyPort"),
        *("registryBurst", "registryPullQPS"),
    ),
    "texts": (
        *("allowedUnsafeSysctls", "clusterDNS", "enforceNodeAllocatable"),
        *("preloadedImagesVerificationAllowlist", "tlsCipherSuites"),
    ),
    "map of texts": (
        *("cpuManagerPolicyOptions", "evictionHard", "evictionMinimumReclaim", "evictionSoft"),
        *("evictionSoftGracePeriod", "kubeReserved", "qosReserved", "systemReserved"),
        *("topologyManagerPolicyOptions",),
    ),
    "map of switches": (*("featureGates",),),
    "list": (*("registerWithTaints", "reservedMemory", "shutdownGracePeriodByPodPriority", "tlsCurvePreferences"),),
    "fraction": (*("memoryThrottlingFactor",),),
}

SINCE: dict[str, int] = {
    "memoryManagerPolicy": 21,
    "reservedMemory": 21,
    "enableProfilingHandler": 21,
    "enableDebugFlagsHandler": 21,
    "cpuManagerPolicyOptions": 22,
    "memorySwap": 22,
    "seccompDefault": 22,
    "memoryThrottlingFactor": 22,
    "shutdownGracePeriodByPodPriority": 23,
    "registerWithTaints": 23,
    "registerNode": 23,
    "tracing": 25,
    "localStorageCapacityIsolation": 25,
    "topologyManagerPolicyOptions": 26,
    "maxParallelImagePulls": 27,
    "enableSystemLogQuery": 27,
    "containerRuntimeEndpoint": 27,
    "imageServiceEndpoint": 27,
    "imageMaximumGCAge": 29,
    "podLogsDir": 30,
    "containerLogMaxWorkers": 30,
    "containerLogMonitorInterval": 30,
    "failCgroupV1": 31,
    "singleProcessOOMKill": 32,
    "crashLoopBackOff": 32,
    "imagePullCredentialsVerificationPolicy": 33,
    "preloadedImagesVerificationAllowlist": 33,
    "mergeDefaultEvictionSettings": 33,
    "userNamespaces": 33,
    "tlsCurvePreferences": 36,
    "memoryReservationPolicy": 36,
}
"""The minor release of each field that 1.20 did not have."""

INNER: dict[str, dict[str, tuple[str, ...]]] = {
    "authentication": {"x509": ("clientCAFile",), "webhook": ("enabled", "cacheTTL"), "anonymous": ("enabled",)},
    "authorization": {"mode": (), "webhook": ("cacheAuthorizedTTL", "cacheUnauthorizedTTL")},
    "memorySwap": {"swapBehavior": ()},
    "crashLoopBackOff": {"maxContainerRestartPeriod": ()},
    "userNamespaces": {"idsPerPod": ()},
}
"""The fields inside the mappings that have few; the others are not looked into."""

KIND_OF: dict[str, str] = {name: kind for kind, names in KINDS.items() for name in names}
