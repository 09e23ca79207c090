// Control-plane runs etcd, two controllers and, in a process of its own, kube-apiserver, for tests: Kubernetes itself,
// built from its own modules, for machines that have neither a container engine nor release binaries.
//
//	go run . -user alice -user bob=devs,ops
//
// When it is ready it prints one line of JSON, the type cluster below. At SIGHUP the API server ends as it does at
// SIGTERM, and another one takes its place, at the same address; when that is ready, the line is printed again. Nothing
// else goes to standard output. It ends at SIGINT and SIGTERM and, with -while-stdin, when its standard input is closed,
// which is also what the death of its parent does. It listens on free ports of the loopback only. All that it stores is in
// a throw-away folder, which goes when it ends.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
	basecompatibility "k8s.io/component-base/compatibility"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/version"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	namespacecontroller "k8s.io/kubernetes/pkg/controller/namespace"
)

// cluster is what is printed when everything answers.
type cluster struct {
	URL string `json:"url"`
	// Version of the API server, such as v1.37.2.
	Version string `json:"version"`
	// PEM.
	CACertificate string `json:"caCertificate"`
	// Throw-away. Holds audit.log, and log: what the API server and etcd have to say.
	Folder string `json:"folder"`
	// Of the etcd behind it: plain HTTP, nobody is asked who they are.
	Etcd string `json:"etcd"`
	// By user name; admin may do everything.
	Tokens      map[string]string `json:"tokens"`
	Kubeconfigs map[string]string `json:"kubeconfigs"`
}

// user is a static one, known to the API server by a token.
type user struct {
	name   string
	groups []string
}

const admin = "admin"

//go:embed kube-apiserver.args
var arguments string

//go:embed audit-policy.json
var auditPolicy []byte

// Longest time from the start to the first JSON. It takes 3 s on two idle cores.
const patience = 2 * time.Minute

func main() {
	users := []user{{admin, []string{"system:masters"}}}
	flag.Func("user", "a `name[=group,group]` to make a token for, besides admin; may be repeated", func(value string) error {
		name, groups, _ := strings.Cut(value, "=")
		if name == "" || strings.ContainsAny(value, "\"\n") {
			return errors.New("a name, and groups after an equals sign")
		}
		users = append(users, user{name, strings.FieldsFunc(groups, func(r rune) bool { return r == ',' })})
		return nil
	})
	whileStdin := flag.Bool("while-stdin", false, "end when standard input is closed")
	var c cluster
	flag.StringVar(&c.Folder, "folder", "", "be the API server of this `folder`; for itself only")
	flag.StringVar(&c.Etcd, "etcd", "", "with -folder: the `URL` of its etcd")
	flag.Parse()
	if c.Folder != "" {
		fmt.Fprintln(os.Stderr, "kube-apiserver ended:", serveAPI(&c))
		os.Exit(1)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if *whileStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	stdout, err1 := keep(1)
	stderr, err2 := keep(2)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	if err := run(ctx, users, stdout); err != nil {
		fmt.Fprintln(stderr, "control-plane:", err)
		os.Exit(1)
	}
}

// run serves until the context ends; the folder is gone when it returns.
func run(ctx context.Context, users []user, stdout io.Writer) error {
	folder, err := os.MkdirTemp("", "control-plane-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := divertOutput(filepath.Join(folder, "log")); err != nil {
		return err
	}

	c, err := prepare(folder, users)
	if err != nil {
		return err
	}
	etcd, err := startEtcd(folder)
	if err != nil {
		return err
	}
	defer etcd.Server.HardStop()
	c.Etcd = "http://" + etcd.Clients[0].Addr().String()

	// Unlike a number, a listener cannot be taken by somebody else in between. Each API server gets it in turn, so that
	// whoever calls while there is none waits for the next.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.URL = "https://" + listener.Addr().String()
	server := &apiServer{cluster: c, listener: listener.(*net.TCPListener)}
	if err := server.start(); err != nil {
		return err
	}
	defer server.kill()
	restart := make(chan os.Signal, 1)
	signal.Notify(restart, syscall.SIGHUP)

	ready := make(chan error, 1)
	go func() { ready <- finish(ctx, c, users) }()
	for err == nil {
		select {
		case err = <-ready:
			if err == nil {
				err = json.NewEncoder(stdout).Encode(c)
			}
		case <-server.ended:
			err = fmt.Errorf("kube-apiserver: %v", server.command.ProcessState)
		case <-restart:
			if err = server.restart(ctx); err == nil {
				go func() { ready <- waitUntilReady(ctx, c) }()
			}
		case <-ctx.Done():
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w\n%s", err, lastLines(filepath.Join(folder, "log"), 20))
}

// keep returns another way to the file behind a descriptor, which stays when the descriptor is diverted.
func keep(fd int) (*os.File, error) {
	kept, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(kept), fmt.Sprint("fd ", fd)), nil
}

// divertOutput sends what is written to standard output and error to a file: the libraries inside write to both as they
// like, which would spoil the JSON, and end the process by SIGPIPE once nobody reads.
func divertOutput(path string) error {
	// The API server writes to it as well.
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(unix.Dup2(int(log.Fd()), 1), unix.Dup2(int(log.Fd()), 2))
}

func lastLines(path string, count int) string {
	content, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// prepare writes the files that kube-apiserver.args names.
func prepare(folder string, users []user) (*cluster, error) {
	c := &cluster{Folder: folder, Tokens: map[string]string{}, Kubeconfigs: map[string]string{}}
	var tokens strings.Builder
	for _, u := range users {
		c.Tokens[u.name] = rand.Text()
		fmt.Fprintf(&tokens, "%s,%q,%q,%q\n", c.Tokens[u.name], u.name, u.name, strings.Join(u.groups, ","))
	}
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return nil, err
	}
	return c, errors.Join(
		os.WriteFile(filepath.Join(folder, "tokens.csv"), []byte(tokens.String()), 0o600),
		os.WriteFile(filepath.Join(folder, "service-accounts.key"), key, 0o600),
		os.WriteFile(filepath.Join(folder, "audit-policy.json"), auditPolicy, 0o600),
	)
}

// startEtcd returns when it serves.
func startEtcd(folder string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(folder, "etcd")
	// Port 0 would do, but for etcd's gateway for JSON, which takes it for the port to call.
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	clients, peers := []url.URL{{Scheme: "http", Host: address}}, []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenClientUrls, config.AdvertiseClientUrls = clients, clients
	config.ListenPeerUrls, config.AdvertisePeerUrls = peers, peers
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "warn"
	// What is lost in a power cut would have been thrown away anyway.
	config.UnsafeNoFsync = true
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err := <-etcd.Err():
		return nil, err
	case <-time.After(patience):
		return nil, errors.New("etcd is not ready")
	}
}

// freeAddress returns one that nobody listens on, for now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// apiServer is the process that serves now.
type apiServer struct {
	cluster  *cluster
	listener *net.TCPListener
	command  *exec.Cmd
	// When it is closed, the process ends at once; so it does not outlive this one.
	stdin io.Closer
	// Closed when the process has ended.
	ended chan struct{}
}

// The descriptor of the listener, in the process that serves: the first after those that all processes have.
const listenerFD = 3

func (s *apiServer) start() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	file, err := s.listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	command := exec.Command(program, "-folder", s.cluster.Folder, "-etcd", s.cluster.Etcd)
	// Both are diverted to the log.
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.ExtraFiles = []*os.File{file}
	// A Ctrl-C is for this process, which then ends that one.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.stdin, err = command.StdinPipe(); err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	s.command, s.ended = command, ended
	return nil
}

// restart lets it answer what it was asked, and tell its audit log so, as an upgrade of a cluster does.
func (s *apiServer) restart(ctx context.Context) error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return s.start()
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return errors.New("kube-apiserver does not end")
	}
}

// kill returns when it is gone.
func (s *apiServer) kill() {
	_ = s.command.Process.Kill()
	<-s.ended
}

// serveAPI is what the process of the API server does, until SIGTERM or an error. It does not return without one.
func serveAPI(c *cluster) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range s.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(argumentsFor(c)); err != nil {
		return err
	}
	registry := s.GenericServerRunOptions.ComponentGlobalsRegistry
	if err := registry.Set(); err != nil {
		return err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	if err := logsapi.ValidateAndApply(s.Logs, registry.FeatureGateFor(basecompatibility.DefaultKubeComponent)); err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return err
	}
	s.SecureServing.Listener = listener
	s.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	completed, err := s.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return utilerrors.NewAggregate(errs)
	}
	return errors.Join(app.Run(ctx, completed), ctx.Err())
}

func argumentsFor(c *cluster) []string {
	var args []string
	for line := range strings.Lines(strings.NewReplacer("{folder}", c.Folder, "{etcd}", c.Etcd).Replace(arguments)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			args = append(args, line)
		}
	}
	return args
}

// finish waits until everything answers, and fills in the rest of the cluster.
func finish(ctx context.Context, c *cluster, users []user) error {
	if err := waitUntilReady(ctx, c); err != nil {
		return err
	}
	for _, u := range users {
		path := filepath.Join(c.Folder, u.name+".kubeconfig")
		if err := clientcmd.WriteToFile(kubeconfigOf(c, u.name), path); err != nil {
			return err
		}
		c.Kubeconfigs[u.name] = path
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfigs[admin])
	if err != nil {
		return err
	}
	return startControllers(ctx, config)
}

// waitUntilReady returns when /readyz says so, which includes the roles that every cluster has.
func waitUntilReady(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.Version = version.Get().GitVersion
	for !isReady(ctx, c) {
		select {
		case <-ctx.Done():
			return errors.New("kube-apiserver does not become ready")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// isReady sets c.CACertificate, which the API server writes when it starts.
func isReady(ctx context.Context, c *cluster) bool {
	certificate, err := os.ReadFile(filepath.Join(c.Folder, "apiserver.crt"))
	if err != nil {
		return false
	}
	c.CACertificate = string(certificate)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/readyz", nil)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "Bearer "+c.Tokens[admin])
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func kubeconfigOf(c *cluster, user string) clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters["control-plane"] = &clientcmdapi.Cluster{Server: c.URL, CertificateAuthorityData: []byte(c.CACertificate)}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: c.Tokens[user]}
	config.Contexts["control-plane"] = &clientcmdapi.Context{Cluster: "control-plane", AuthInfo: user}
	config.CurrentContext = "control-plane"
	return *config
}

// startControllers runs what empties a namespace that is deleted, and deletes what has lost its owner: the guard must
// let both pass. They call as kube-controller-manager does, each by its own service account.
func startControllers(ctx context.Context, config *rest.Config) error {
	namespaces, err := clientsFor(config, "namespace-controller")
	if err != nil {
		return err
	}
	informerFactory := informers.NewSharedInformerFactory(namespaces.typed, 0)
	namespaceController := namespacecontroller.NewNamespaceController(ctx, namespaces.typed, namespaces.metadata,
		namespaces.typed.Discovery().ServerPreferredNamespacedResources, informerFactory.Core().V1().Namespaces(),
		5*time.Minute, corev1.FinalizerKubernetes)

	garbage, err := clientsFor(config, "generic-garbage-collector")
	if err != nil {
		return err
	}
	started := make(chan struct{})
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(garbage.typed.Discovery()))
	collector, err := garbagecollector.NewGarbageCollector(ctx, garbage.typed, garbage.metadata, mapper,
		garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(informerFactory, metadatainformer.NewSharedInformerFactory(garbage.metadata, 0)),
		started)
	if err != nil {
		return err
	}
	informerFactory.Start(ctx.Done())
	close(started)
	go namespaceController.Run(ctx, 2)
	go collector.Run(ctx, 2, 30*time.Second)
	go collector.Sync(ctx, garbage.typed.Discovery(), 30*time.Second)
	return nil
}

type clients struct {
	typed    kubernetes.Interface
	metadata metadata.Interface
}

func clientsFor(config *rest.Config, serviceAccount string) (clients, error) {
	config = rest.CopyConfig(config)
	config.Impersonate.UserName = "system:serviceaccount:kube-system:" + serviceAccount
	config.QPS = -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return clients{}, err
	}
	metadataClient, err := metadata.NewForConfig(config)
	return clients{typed, metadataClient}, err
}
