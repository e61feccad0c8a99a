// Asks for each URL, as Go's programs do by default. That it gets no answer is no failure.
package main

import (
	"net/http"
	"os"
)

func main() {
	for _, url := range os.Args[1:] {
		if response, err := http.Get(url); err == nil {
			response.Body.Close()
		}
	}
}
