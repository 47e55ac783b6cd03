package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"coffer/internal/client"
	"coffer/internal/httpd"
	"coffer/internal/server"
)

func runCommand() *cobra.Command {
	var d server.Development
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a program with a private key vault around it",
		Long: `Run a program that was written for Azure Key Vault, unchanged, with a private vault
around it. The program finds the vaults at their usual addresses
(https://NAME.vault.azure.net) and signs in with DefaultAzureCredential. A vault comes
into being when it is first used. Nothing that is meant for the cloud leaves this machine;
everything else does as usual.

Without --data the vaults exist as long as the program runs, and nothing of them is ever
readable on the disk.`,
		Example: `  KEY_VAULT_NAME=demo coffer run -- python3 my_program.py
  coffer run --data ./vaults -- bash        # a shell with vaults that are kept`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return client.Usagef("name the program to run: coffer run -- COMMAND [ARGUMENT...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d.Environ = os.Environ()
			return runProgram(cmd, d, verbose, args)
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&d.Data, "data", "", "keep the vaults in this `directory` between runs")
	cmd.Flags().BoolVar(&d.Strict, "strict", false, "make no vault just because it is used")
	cmd.Flags().StringVar(&d.Identity, "identity", "", "offer a managed identity, too, in the `form` imds, appservice or cloudshell; imds if none is named")
	cmd.Flags().Lookup("identity").NoOptDefVal = server.IdentityIMDS
	cmd.Flags().StringArrayVar(&d.Attest, "attestation-authority", nil, "release keys for environments that the service at this https `url` attests; can be repeated")
	cmd.Flags().StringArrayVar(&d.Assert, "assertion-issuer", nil, "let applications sign in by tokens of the service at this https `url`, if a federated credential says so; can be repeated")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show each request on stderr")
	return cmd
}

func runProgram(cmd *cobra.Command, d server.Development, verbose bool, args []string) (err error) {
	stderr := &lockedWriter{w: cmd.ErrOrStderr()}
	level := slog.LevelWarn
	if verbose {
		level, d.Access = slog.LevelInfo, func(a httpd.Access) { printAccess(stderr, a) }
	}
	d.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		fmt.Fprintln(stderr, "coffer: on this system programs in Python, JavaScript and Java are reached; Go programs take their authorities from the system and are not")
	}
	if cmd.Flags().Changed("data") && d.Data == "" {
		return errors.New("--data is empty: name a directory, or leave it out to keep nothing")
	}
	if d.Strict && d.Data == "" {
		fmt.Fprintln(stderr, "coffer: --strict without --data: there is no vault, and nothing makes one")
	}
	temporary, err := filepath.Abs(os.TempDir()) // the child may change its directory
	if err != nil {
		return err
	}
	if d.Scratch, err = os.MkdirTemp(temporary, scratchPrefix); err != nil {
		return err
	}
	dismiss := startJanitor(d.Scratch)
	defer func() { err = errors.Join(err, os.RemoveAll(d.Scratch)); dismiss() }()
	running, err := server.Develop(cmd.Context(), d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Close()) }()
	child := exec.Command(args[0], args[1:]...)
	child.Env, child.Stdin, child.Stdout, child.Stderr = running.Environ(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	return supervise(child, stderr)
}

// supervise runs the child, hands signals on to it, and ends with its exit code.
func supervise(child *exec.Cmd, stderr io.Writer) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return startError(child.Path, err, stderr)
	}
	ended := make(chan struct{})
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			select {
			case s := <-signals:
				if !fromTerminal(s) {
					_ = child.Process.Signal(s) // it may have ended just now
				}
			case <-ended:
				return
			}
		}
	})
	err := child.Wait()
	close(ended)
	passing.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	code := exit.ExitCode()
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return &exitError{code: code}
}

// startError is a shell's answer to a program that cannot be started.
func startError(path string, err error, stderr io.Writer) error {
	fmt.Fprintf(stderr, "coffer: %s cannot be started: %v\n", path, err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return &exitError{code: 127}
	}
	return &exitError{code: 126}
}

// fromTerminal reports whether a terminal sends the signal to the child as well.
func fromTerminal(s os.Signal) bool {
	return (s == os.Interrupt || s == syscall.SIGQUIT) && foreground()
}

func printAccess(w io.Writer, a httpd.Access) {
	address := "https://" + a.Host + a.Path
	if a.Query != "" {
		address += "?" + a.Query
	}
	fmt.Fprintf(w, "coffer: %d %s %s (%d bytes, %.1f ms)\n", a.Status, printable(a.Method), printable(address), a.Bytes, float64(a.Duration)/float64(time.Millisecond))
}

// printable escapes what could forge a line or steer a terminal: anyone can send it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// A lockedWriter writes whole lines of several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// scratchPrefix begins the name of a run's directory.
const scratchPrefix = "coffer-run-"

// The janitor is a second process of this program that removes the run's directory when
// the first is gone, however it went. It learns that by the end of its standard input.
func startJanitor(dir string) (dismiss func()) {
	self, err := os.Executable()
	if err != nil {
		return func() {}
	}
	janitor := exec.Command(self, "janitor", dir)
	janitor.Env, janitor.Dir, janitor.SysProcAttr = []string{"TMPDIR=" + filepath.Dir(dir)}, filepath.Dir(dir), ownSession()
	input, err := janitor.StdinPipe()
	if err != nil || janitor.Start() != nil {
		return func() {} // the directory is removed unless this process is killed
	}
	go func() { _ = janitor.Wait() }()
	return func() { _ = input.Close() }
}

func janitorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "janitor DIRECTORY", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if filepath.Dir(args[0]) != filepath.Clean(os.TempDir()) || len(filepath.Base(args[0])) <= len(scratchPrefix) || filepath.Base(args[0])[:len(scratchPrefix)] != scratchPrefix {
				return fmt.Errorf("%s is not the directory of a run", args[0])
			}
			if _, err := io.Copy(io.Discard, cmd.InOrStdin()); err != nil {
				return err
			}
			return os.RemoveAll(args[0])
		},
	}
}

// contextWithSignals ends when the process is asked to stop.
func contextWithSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
