# syntax=docker/dockerfile:1
# The service without PyTorch. Two targets: `cpu` (the default) and `gpu` (CUDA, for the NVIDIA container toolkit).
#   docker build --target cpu -t vitrine .
#   docker build --target gpu -t vitrine:gpu .
FROM python:3.13-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 vitrine
WORKDIR /srv/vitrine
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY app ./app
COPY models ./models
ENV VITRINE_HOST=0.0.0.0 VITRINE_PORT=8000 VITRINE_MODELS_DIR=/srv/vitrine/models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["vitrine", "serve"]

FROM base AS gpu
RUN pip install -c constraints.txt '.[gpu,c2pa,otel,redis]'
USER 10001

FROM base AS cpu
RUN pip install -c constraints.txt '.[cpu,c2pa,otel,redis]'
USER 10001
