package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// restartAfter is the pause before a component that ended is started again.
const restartAfter = 500 * time.Millisecond

// supervisor keeps components running. While the file stopped/<component> exists in the state folder, an ended
// component stays down: so a test takes the API server away. Its process id, as the process namespace counts, is in
// pids/<component>.
type supervisor struct {
	state string
}

func newSupervisor(state string) supervisor {
	return supervisor{state: state}
}

// keep starts a component and goes on doing so. Its output is added to log/<component>.log.
func (s supervisor) keep(name, program string, arguments ...string) error {
	for _, folder := range []string{"log", "pids", "stopped"} {
		if err := os.MkdirAll(filepath.Join(s.state, folder), 0o755); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(filepath.Join(s.state, "log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	go func() {
		for {
			if !s.stopped(name) {
				err := s.once(name, log, program, arguments)
				fmt.Printf("%s  %s ended: %v\n", time.Now().UTC().Format(time.RFC3339), name, err)
			}
			time.Sleep(restartAfter)
		}
	}()
	return nil
}

func (s supervisor) once(name string, log *os.File, program string, arguments []string) error {
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return err
	}
	id := []byte(strconv.Itoa(command.Process.Pid))
	if err := os.WriteFile(filepath.Join(s.state, "pids", name), id, 0o644); err != nil {
		return err
	}
	return command.Wait()
}

func (s supervisor) stopped(name string) bool {
	_, err := os.Stat(filepath.Join(s.state, "stopped", name))
	return err == nil
}
