# Serve a classifier: docker build -t tfpoets . && docker run -p 8501:8501 -v "$PWD/tf_files:/classifier:ro" tfpoets
FROM python:3.12-slim

WORKDIR /app
COPY setup.cfg pyproject.toml README.md LICENSE ./
# Install only the dependencies of serving (the extra `serve`), which do not include TensorFlow.
RUN python -c "import configparser; setup = configparser.ConfigParser(); setup.read('setup.cfg'); \
    print(setup['options.extras_require']['serve'])" > /tmp/serve.txt && pip install --no-cache-dir -r /tmp/serve.txt
COPY tfpoets ./tfpoets
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home --uid 1000 poet
USER poet
WORKDIR /classifier
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/healthz', timeout=4)"]
# With the exec form, SIGTERM reaches the server, which finishes the requests in progress.
CMD ["tfpoets", "serve", "--host=0.0.0.0", "--port=8501", "--graph=/classifier/retrained_graph.tflite"]
