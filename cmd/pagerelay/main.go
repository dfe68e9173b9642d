// Command pagerelay is a sidecar between Prometheus Alertmanager and PagerDuty.
package main

func main() {}
