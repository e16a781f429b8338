#!/bin/bash
#SBATCH --no-requeue
#SBATCH --job-name=b-7f3a
#SBATCH --chdir=/home/ada/.molehill/executions/k/batches/b-7f3a
#SBATCH --output=/home/ada/.molehill/executions/k/batches/b-7f3a/log
#SBATCH --open-mode=append
exit 0
