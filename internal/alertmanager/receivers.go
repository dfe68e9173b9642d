package alertmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The receivers that webhooks came from are kept in a file of their own, beside the
// outbox: after the outbox was damaged, they say which alerts to adopt.

// recall reads the receivers of the file; none if there is no such file.
func recall(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read receivers: %w", err)
	}
	receivers := map[string]string{}
	if err := json.Unmarshal(text, &receivers); err != nil {
		return nil, fmt.Errorf("decode receivers: %w", err)
	}
	return receivers, nil
}

// remember replaces the file, so that it is whole at any moment.
func remember(path string, receivers map[string]string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("remember receivers: %w", err)
		}
	}()
	text, err := json.Marshal(receivers)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
