//! The Kubernetes client and what is known of the cluster.
