package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/config"
)

// The parts of the manifests that must fit each other. encoding/json does not mind
// case, so that Kubernetes' names need no tags.
type (
	manifest struct {
		APIVersion, Kind string
		Metadata         struct{ Name, Namespace string }
		Data, StringData map[string]string
		Spec             struct {
			ServiceName, ClusterIP string
			Replicas               int
			Selector               json.RawMessage
			Ports                  []struct {
				Name, TargetPort, Protocol string
				Port                       int
			}
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     podSpec
			}
			VolumeClaimTemplates []struct{ Metadata struct{ Name string } }
		}
	}
	podSpec struct {
		AutomountServiceAccountToken *bool
		SecurityContext              struct {
			RunAsNonRoot bool
			FSGroup      int
		}
		InitContainers, Containers []container
		Volumes                    []struct {
			Name      string
			ConfigMap *struct{ Name string }
			Secret    *struct {
				SecretName string
				Items      []struct{ Key, Path string }
			}
		}
	}
	container struct {
		Name, RestartPolicy string
		Args                []string
		Ports               []struct {
			Name, Protocol string
			ContainerPort  int
		}
		StartupProbe, LivenessProbe, ReadinessProbe struct {
			HTTPGet                                         struct{ Path, Port string }
			PeriodSeconds, FailureThreshold, TimeoutSeconds int
		}
		Resources       struct{ Limits struct{ Memory string } }
		SecurityContext struct {
			RunAsUser                int
			AllowPrivilegeEscalation *bool
			ReadOnlyRootFilesystem   bool
			Capabilities             struct{ Drop []string }
		}
		VolumeMounts []struct{ Name, MountPath string }
	}
)

// manifests decodes everything in kubernetes/, by kind and name.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	names, err := filepath.Glob("kubernetes/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]manifest{}
	for _, name := range names {
		for _, doc := range documents(t, name) {
			var tree map[string]any
			if err := doc.Decode(&tree); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text, err := json.Marshal(tree)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var m manifest
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			id := m.Kind + "/" + m.Metadata.Name
			if _, dup := all[id]; dup || m.Metadata.Name == "" || m.APIVersion == "" {
				t.Errorf("%s: %s is there twice, or lacks name or version", name, id)
			}
			if m.Metadata.Namespace != "monitoring" {
				t.Errorf("%s: %s: got namespace %q, want monitoring", name, id, m.Metadata.Namespace)
			}
			all[id] = m
		}
	}
	return all
}

// statefulSet returns the manifests, the pod and its containers by name.
func statefulSet(t *testing.T) (map[string]manifest, podSpec, map[string]container) {
	t.Helper()
	all := manifests(t)
	pod := all["StatefulSet/alertmanager"].Spec.Template.Spec
	containers := map[string]container{}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		containers[c.Name] = c
	}
	if len(containers) != 2 || len(containers["pagerelay"].Args) == 0 || len(containers["alertmanager"].Args) == 0 {
		t.Fatalf("got containers %v, want pagerelay and alertmanager", containers)
	}
	return all, pod, containers
}

func TestKubernetesConfigsLoad(t *testing.T) {
	all := manifests(t)
	text := all["ConfigMap/pagerelay-config"].Data["pagerelay.yml"]
	cfg, err := config.Parse([]byte(text), "/etc/pagerelay")
	if err != nil {
		t.Fatalf("pagerelay.yml:\n%v", err)
	}
	if len(cfg.Access.Tokens) == 0 {
		t.Error("pagerelay.yml has no token, though it listens on all addresses")
	}

	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(path, []byte(all["ConfigMap/alertmanager-config"].Data["alertmanager.yml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	amtoolChecks(t, path)
}

// Every file that a configuration or an argument names is mounted.
func TestKubernetesFilesAreMounted(t *testing.T) {
	all, pod, containers := statefulSet(t)
	sources := map[string][]string{} // the files of each volume; a claim has none.
	for _, claim := range all["StatefulSet/alertmanager"].Spec.VolumeClaimTemplates {
		sources[claim.Metadata.Name] = nil
	}
	for _, v := range pod.Volumes {
		var files []string
		switch {
		case v.ConfigMap != nil:
			files = keys(all["ConfigMap/"+v.ConfigMap.Name].Data)
		case v.Secret != nil && v.Secret.Items != nil:
			for _, item := range v.Secret.Items {
				if _, ok := all["Secret/"+v.Secret.SecretName].StringData[item.Key]; ok {
					files = append(files, item.Path)
				}
			}
		case v.Secret != nil:
			files = keys(all["Secret/"+v.Secret.SecretName].StringData)
		}
		if len(files) == 0 {
			t.Errorf("volume %s has no file", v.Name)
		}
		sources[v.Name] = files
	}

	used := map[string]bool{}
	mounted := map[string][]string{} // the paths that each container sees.
	for name, c := range containers {
		for _, m := range c.VolumeMounts {
			files, ok := sources[m.Name]
			if !ok {
				t.Errorf("%s mounts %s, which is no volume", name, m.Name)
			}
			used[m.Name] = true
			mounted[name] = append(mounted[name], m.MountPath)
			for _, file := range files {
				mounted[name] = append(mounted[name], m.MountPath+"/"+file)
			}
		}
	}
	for name := range sources {
		if !used[name] {
			t.Errorf("volume %s is mounted nowhere", name)
		}
	}

	want := map[string][]string{
		"alertmanager": absolutePaths(containers["alertmanager"].Args, all["ConfigMap/alertmanager-config"].Data["alertmanager.yml"]),
		"pagerelay":    absolutePaths(containers["pagerelay"].Args, all["ConfigMap/pagerelay-config"].Data["pagerelay.yml"]),
	}
	for name, paths := range want {
		if len(paths) < 3 {
			t.Errorf("%s: got the paths %q, want at least three", name, paths)
		}
		for _, path := range paths {
			if !slices.Contains(mounted[name], path) {
				t.Errorf("%s names %s, which is not mounted; it sees %q", name, path, mounted[name])
			}
		}
	}
}

// absolutePaths lists the file names in arguments and a configuration.
func absolutePaths(args []string, text string) []string {
	var paths []string
	for _, m := range regexp.MustCompile(`(?m)(?:=|_file: )(/\S+)$`).FindAllStringSubmatch(strings.Join(args, "\n")+"\n"+text, -1) {
		paths = append(paths, m[1])
	}
	return paths
}

func TestKubernetesPortsAndProbes(t *testing.T) {
	all, _, containers := statefulSet(t)
	ports := map[string]int{}
	for name, c := range containers {
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		port := map[string]string{"alertmanager": "web", "pagerelay": "pagerelay"}[name]
		if got := c.LivenessProbe.HTTPGet; got.Path != "/-/healthy" || got.Port != port {
			t.Errorf("%s: liveness: got %+v, want /-/healthy on %s", name, got, port)
		}
		if got := c.ReadinessProbe.HTTPGet; got.Path != "/-/ready" || got.Port != port {
			t.Errorf("%s: readiness: got %+v, want /-/ready on %s", name, got, port)
		}
		// What the end-to-end tests of overload hold pagerelay to.
		if live, ready := c.LivenessProbe.TimeoutSeconds, c.ReadinessProbe.TimeoutSeconds; name == "pagerelay" && (live < 3 || ready < 3) {
			t.Errorf("%s: its probes wait for %d s and %d s, want 3 s", name, live, ready)
		}
	}
	if diff := cmp.Diff(map[string]int{"web": 9093, "peers-tcp": 9094, "peers-udp": 9094, "pagerelay": 9095}, ports); diff != "" {
		t.Errorf("container ports (-want +got):\n%s", diff)
	}
	if !slices.Contains(containers["pagerelay"].Args, "--web.listen-address=:9095") {
		t.Error("pagerelay does not listen on :9095, where it is probed")
	}
	for id, m := range all {
		for _, p := range m.Spec.Ports {
			if ports[p.TargetPort] != p.Port {
				t.Errorf("%s: port %s goes to %s, which is %d and not %d", id, p.Name, p.TargetPort, ports[p.TargetPort], p.Port)
			}
		}
	}
	set := all["StatefulSet/alertmanager"]
	headless := all["Service/"+set.Spec.ServiceName]
	if headless.Spec.ClusterIP != "None" {
		t.Errorf("%s: got cluster IP %q, want None", set.Spec.ServiceName, headless.Spec.ClusterIP)
	}
	if label := set.Spec.Template.Metadata.Labels["app"]; label == "" || string(headless.Spec.Selector) != `{"app":"`+label+`"}` {
		t.Errorf("service selects %s, pods are labelled %q", headless.Spec.Selector, label)
	}

	// Each member asks all members.
	cfg, err := config.Parse([]byte(all["ConfigMap/pagerelay-config"].Data["pagerelay.yml"]), "/")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(cfg.Alertmanager.URLs); got != set.Spec.Replicas {
		t.Errorf("pagerelay.yml lists %d Alertmanagers, there are %d", got, set.Spec.Replicas)
	}
	if text := all["ConfigMap/alertmanager-config"].Data["alertmanager.yml"]; !strings.Contains(text, "url: http://127.0.0.1:9095/webhook/alertmanager\n") {
		t.Error("alertmanager.yml does not send to the sidecar")
	}
}

// The kubelet must not kill what is busy: in a storm (internal/lab/e2e.TestOverloadOfConnectionsAndBodies allows
// 1 GiB), or while it reads its outbox from a slow disk.
func TestKubernetesLeavesRoom(t *testing.T) {
	_, _, containers := statefulSet(t)
	c := containers["pagerelay"]
	if got := c.Resources.Limits.Memory; got != "1Gi" {
		t.Errorf("pagerelay: memory limit: got %q, want 1Gi", got)
	}
	probe := c.StartupProbe
	if probe.HTTPGet.Path != "/-/ready" || probe.HTTPGet.Port != "pagerelay" || probe.PeriodSeconds*probe.FailureThreshold < 600 {
		t.Errorf("pagerelay: startup: got %+v, want /-/ready on pagerelay, and 10 minutes for it", probe)
	}
}

func TestKubernetesLeastPrivilege(t *testing.T) {
	_, pod, containers := statefulSet(t)
	if !pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.FSGroup != 65532 {
		t.Errorf("pod: got %+v, want not root, group 65532", pod.SecurityContext)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("pod: the service account's token is mounted")
	}
	for name, uid := range map[string]int{"pagerelay": 65532, "alertmanager": 65534} {
		s := containers[name].SecurityContext
		if s.RunAsUser != uid || !s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			!slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s: got %+v, want user %d, a read-only root, no escalation and no capabilities", name, s, uid)
		}
	}
	if got := pod.InitContainers; len(got) != 1 || got[0].RestartPolicy != "Always" {
		t.Error("pagerelay is not a native sidecar (an init container with restartPolicy Always)")
	}
}

// A secret that was not replaced must not look like one.
func TestKubernetesSecretsArePlaceholders(t *testing.T) {
	for id, m := range manifests(t) {
		for key, value := range m.StringData {
			if !strings.HasPrefix(value, "REPLACE-") {
				t.Errorf("%s: %s is %q, want a placeholder", id, key, value)
			}
		}
	}
}

func keys(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

// A page links to Alertmanager where people, and not only pods, find it.
func TestKubernetesPagesLinkToAlertmanager(t *testing.T) {
	_, _, containers := statefulSet(t)
	if !slices.Contains(containers["alertmanager"].Args, "--web.external-url=https://alertmanager.example.com") {
		t.Errorf("alertmanager has no --web.external-url with a placeholder: %q", containers["alertmanager"].Args)
	}
}

// The arguments are flags that the program has.
func TestKubernetesArguments(t *testing.T) {
	_, _, containers := statefulSet(t)
	help, err := exec.Command(built(t, "pagerelay"), "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("pagerelay serve --help: %v\n%s", err, help)
	}
	for _, arg := range containers["pagerelay"].Args {
		name, _, isFlag := strings.Cut(arg, "=")
		if isFlag && !strings.Contains(string(help), name+"=") {
			t.Errorf("pagerelay has no flag %s:\n%s", name, help)
		}
	}
}
