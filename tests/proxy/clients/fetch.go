// fetch URL OUT [UPLOAD]: net/http, as in containerd and kubectl. Of a refusal it shows the reason
// phrase and nothing else. With SERVER_NAME set, the TLS inside the tunnel asks for that one.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := fetch(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fetch(url, out string, upload []string) error {
	request, err := http.NewRequest("GET", url, nil)
	if len(upload) > 0 {
		var file *os.File
		if file, err = os.Open(upload[0]); err == nil {
			request, err = http.NewRequest("PUT", url, file)
		}
	}
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{ServerName: os.Getenv("SERVER_NAME")}
	client := http.Client{Transport: transport, Timeout: 20 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if _, err = io.Copy(file, answer.Body); err != nil {
		return err
	}
	return file.Close()
}
